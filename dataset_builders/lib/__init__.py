"""Parts that the dataset builders share: build parts, large arrays, worker pool, CSV rows, the hub, held-out texts.

One sub-package for each kind of dataset. May import `trm_cli.data` and `trm_cli.errors`, and not the programs above.
"""
