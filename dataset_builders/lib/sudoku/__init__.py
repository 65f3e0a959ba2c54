"""Sudoku: generating, solving and rating boards, reading CSV files, writing puzzle arrays."""
