"""Read configuration values from YAML, overrides and references, with the place of each value.

May import errors alone.
"""
