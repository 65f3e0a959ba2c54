"""The Python API behind `import trm_cli as trm`: each module offers a few of its names.

Calls workflows as the commands do, and the console's views to show their results in a notebook. Imported lazily.
"""
