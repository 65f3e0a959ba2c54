"""What a command does, without its options or its screen: plain arguments in, values out, errors raised.

What happens meanwhile is told to an observer (`observers`), or to a function that is given. May import training,
evaluation, data, models, config and schedule; never the console. Commands call it, and so does the Python API.
"""
