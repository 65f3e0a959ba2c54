"""Answers of a model in the terminal and as JSON: boards, grids, text."""
