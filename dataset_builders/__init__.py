"""Runnable programs that write datasets, one per dataset family: `python -m dataset_builders.sudoku --help`.

May import `lib`, `trm_cli.data` and `trm_cli.errors`. Imports in here are relative, because the folder has two names:
in a wheel it is `trm_cli.dataset_builders`.
"""
