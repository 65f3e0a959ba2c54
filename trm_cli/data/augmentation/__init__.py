"""Augment puzzles while batches are drawn: the interface (`drawing`) and one module for each kind of puzzle.

May import `trm_cli.data.arc`, `dihedral` and `counter_rng`.
"""
