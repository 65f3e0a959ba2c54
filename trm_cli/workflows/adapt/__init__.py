"""Learn new ARC tasks from their demonstrations, vote, and write a submission.

adapt           the workflow
request         its options, events and result type
settings        the configuration of the training
directory       the run directory that it works in, and finds again
building        the dataset of the new tasks
probe, budget   time an update and a vote, divide the time budget
learning        the training, with tests in between
answers         votes and the submission
result          the result document
bundle          an offline folder for Kaggle
stopwatch       seconds used over all processes
"""
