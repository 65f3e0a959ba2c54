"""Sudoku: settings, generating, solving and rating boards, reading CSV files, writing puzzle arrays.

`settings` needs no numpy.
"""
