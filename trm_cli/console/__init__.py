"""Everything that a person sees: the two streams, tables, plots, progress, error panels.

views/ shows plans, runs, models, datasets; report/ draws pages and pictures; answers/ draws what a model has answered.
May import what it shows: the results of workflows, evaluation, data and schedule. Commands import it, and the app.
"""
