"""Solve single puzzles: a board, an ARC task, a canvas, a file with one puzzle a line."""
