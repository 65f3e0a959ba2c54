"""Read the stream format: shards of text, picture and puzzle records, the builder's heartbeat, and batches.

May import `trm_cli.data.files`, `arc`, `puzzles` and `counter_rng`; `plan`, `records` and `vocabulary` need no numpy.
"""
