"""Train many runs from one file: each trial an ordinary run, in a queue that goes on after a kill.

definition    what the file says, checked key by key
trials        the settings of each trial of a grid or a random search
queues        which trial is next, within the memory of this machine
study         trials that Optuna chooses and ends early
sweep         the command: plan, train, results
"""
