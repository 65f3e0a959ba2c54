"""One screen a file: the plan, a model, a dataset, a run, an evaluation as tables and progress.

May import the plain results that it shows, and `console`.
"""
