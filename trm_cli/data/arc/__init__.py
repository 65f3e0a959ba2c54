"""Represent ARC tasks: grids as tokens, augmentations and their names, task JSON files, puzzle identifiers.

May import `trm_cli.data.files`, `dihedral` and `counter_rng`. `layout` needs no numpy.
"""
