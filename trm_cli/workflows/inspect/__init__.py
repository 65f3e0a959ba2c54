"""Look at a network, a dataset, or the way to an answer, without changing anything."""
