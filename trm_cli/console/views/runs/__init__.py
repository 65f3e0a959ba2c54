"""Screens of what a run does, one a file: the plan, the forecast, training, evaluation, groups, sweeps, adapting.

May import the plain results that it shows, and `console`.
"""
