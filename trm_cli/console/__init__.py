"""Terminal output: the two streams, tables, plots, progress bars, error panels.

views/ shows plans, runs, models and datasets; report/ makes pages and pictures; answers/ shows solutions. May import
what it shows: results of workflows, evaluation, data and schedule. Imported by the commands and the app.
"""
