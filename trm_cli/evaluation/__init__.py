"""Exact accuracy, voting and prediction files."""
