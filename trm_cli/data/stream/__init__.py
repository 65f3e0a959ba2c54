"""The stream format: shards of records for text, pictures and puzzles, its builder's heartbeat, batches drawn from it.

May import `trm_cli.data.files`, `arc`, `puzzles` and `counter_rng`; `plan`, `records` and `vocabulary` need no numpy.
"""
