"""Mazes: settings, generating and solving them, reading CSV files, writing puzzle arrays.

`settings` needs no numpy.
"""
