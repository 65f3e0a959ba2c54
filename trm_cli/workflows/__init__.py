"""What a command does, without its options or its screen: plain arguments in, values out, errors raised.

May import training, evaluation, data, models, config and schedule. Called by commands and the Python API.
"""
