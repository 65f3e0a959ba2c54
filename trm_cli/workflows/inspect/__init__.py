"""Inspect a network, a dataset, or how a capsule network solves a sample."""
