"""ARC tasks: reading them, splitting them into groups, their symmetries, the plan, distinct augmentations, writing.

`tasks`, `splits`, `symmetry` and `plan` need no numpy.
"""
