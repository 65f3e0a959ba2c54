"""Solve single puzzles: a board, an ARC task (also from its demonstrations), a file with one puzzle a line."""
