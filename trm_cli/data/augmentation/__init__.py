"""Augmentation while batches are drawn: what a batch asks for (`drawing`), and one module for each kind of puzzle.

May import `trm_cli.data.arc`, `dihedral` and `counter_rng`.
"""
