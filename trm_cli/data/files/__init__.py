"""Read and write the files of a dataset: atomic writes, JSON, `dataset.json`, `manifest.json`, puzzle arrays.

May import `trm_cli.errors`; all but `puzzle_arrays` need no numpy.
"""
