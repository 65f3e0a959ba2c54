"""ARC tasks as data: grids and their tokens, transforms and their names, a task's JSON, puzzle identifiers.

May import `trm_cli.data.files`, `dihedral` and `counter_rng`. `layout` needs no numpy.
"""
