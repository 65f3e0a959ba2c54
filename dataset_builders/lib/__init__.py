"""Parts that the dataset builders share: command line, build parts and shards, worker pool, the hub.

One sub-package for each kind of dataset. May import `trm_cli.data` and `trm_cli.errors`.
"""
