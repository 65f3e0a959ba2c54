"""Train a model: the update, the loop and the state of a run.

loop                     execute the plan, one update at a time
step                     one update: forward, backward, clip, optimizers, average
state                    all that the next update depends on, saved and loaded
feeding, gradients, averages, nonfinite, signals, profiling   what these need
run_files                the names of the files in a run directory, and in a published model
hub                      fetch published models from a hub

From the top down: `transfer`, `memory`, `run`, then loop, `checkpoint`, step, state, `optimizers`, `hardware`,
`distributed`, `recording`. Nothing imports a package above it, and nothing here imports commands, console or workflows.
"""
