"""Runnable programs that write datasets, one per dataset family: `python -m dataset_builders.sudoku --help`."""
