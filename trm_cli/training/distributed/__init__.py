"""One run in several processes: each computes its rows of the global batch, and all of them make the same update."""
