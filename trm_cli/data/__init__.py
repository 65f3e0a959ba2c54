"""What a dataset is on disk, and how batches are drawn from it.

May import `trm_cli.errors` and `trm_cli.log_level`. From top to bottom: samples, opening and inspection; building and
text; stream; puzzles; augmentation; arc; files; plain arithmetic.
"""
