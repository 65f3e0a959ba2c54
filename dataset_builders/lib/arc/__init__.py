"""ARC tasks: reading them, splitting them into groups, their symmetries, the plan, distinct augmentations, writing.

`tasks`, `task_sources`, `splits`, `symmetry` and `plan` need no numpy.
"""
