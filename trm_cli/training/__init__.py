"""Train a model: the update, the loop and the state of a run; imports evaluation, models, data, schedule and config.

loop                   execute the plan, one update at a time
step                   one update: forward, backward, clip, optimizers, average
state, state_migration   all that the next update depends on, saved and loaded
gradients, ema, puzzle_table, nonfinite, signals, run_files   what these need

From the top down: `transfer`, `run`, `memory`, then loop, `checkpoint`, step, state, `optimizers`, `distributed`,
`recording`, `hardware`. Nothing imports a package above it.
"""
