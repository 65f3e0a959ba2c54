"""Benchmarks of speed, memory and learning; `python -m benchmarks` runs the short ones."""
