"""Mazes: generating and solving them, reading CSV files, writing puzzle arrays."""
