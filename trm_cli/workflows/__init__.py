"""The work of each command, without options and screens: plain arguments in, values out, errors raised.

Progress is reported to an observer (`observers`) or to a callback. May import training, evaluation, data, models,
config and schedule; never the console. Called by the commands and the Python API.
"""
