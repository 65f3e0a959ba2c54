"""Read datasets from disk, draw batches from them, and run the programs that build them.

May import `trm_cli.errors` and `trm_cli.log_level`. From top to bottom: samples, opening and inspection; building and
text; stream; puzzles; augmentation; arc; files; plain arithmetic.
"""
