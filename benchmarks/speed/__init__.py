"""Time and memory: starting, opening a dataset, a training step (alone, or beside that of another tree), full size."""
