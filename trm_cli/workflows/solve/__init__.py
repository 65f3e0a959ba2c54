"""Solve a puzzle with a trained model: a board or a maze, an ARC task, many puzzles one a line."""
