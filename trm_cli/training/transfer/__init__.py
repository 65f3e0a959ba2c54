"""Import weights of other programs as a run, and export the weights of a run.

Everything in training may be imported here; nothing in training imports it.
"""
