"""Files of a dataset on disk: durable writing, reading JSON, `dataset.json`, `manifest.json`, puzzle arrays.

May import `trm_cli.errors`; all but `puzzle_arrays` need no numpy.
"""
