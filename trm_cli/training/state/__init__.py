"""All that the next update depends on, and what it is saved as: weights, carry, optimizers, averages, sums, checks.

training_state   the state of a run, to and from a checkpoint
state_form, state_migration   check what was saved, and read older formats

May import `optimizers`, `hardware` and `distributed`.
"""
