"""Augmentations: one module per kind of puzzle, each with its exact inverse."""
