"""What a trained model is worth: evaluate it, compare runs, summarise groups, report a run.

May import the workflows beside it and everything below them.
"""
