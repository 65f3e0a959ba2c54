"""ARC tasks: reading them, splitting them into groups, their symmetries, distinct augmentations, writing."""
