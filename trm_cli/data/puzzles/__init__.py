"""Puzzle datasets: batches as a function of seed and update, puzzle kinds, boards and mazes as text."""
