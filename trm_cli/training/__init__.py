"""State, step, loop, optimizers and checkpoints of a run."""
