"""Read the stream format: what records are, how batches are drawn from them; the files are `storage`.

May import `trm_cli.data.files`, `arc`, `puzzles` and `counter_rng`. Without numpy: `storage.plan`, `records` and
`vocabulary`.
"""
