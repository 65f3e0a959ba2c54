"""Draw batches from puzzle datasets; the table of puzzle kinds; boards and mazes as text.

May import `trm_cli.data.files`, `arc`, `augmentation` and `counter_rng`; `kinds` needs no numpy.
"""
