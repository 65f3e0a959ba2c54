"""Train a model: provide its dataset, load the configuration of a resumed run, train once or with several seeds.

train           the command: dataset, plan, training
run_dataset     find or build the dataset of a run
resume          the configuration of a run that is resumed
run_drift       settings that changed since the run was begun
seeds, jobs     several runs, in a queue of commands
within_memory   out-of-memory errors with advice
"""
