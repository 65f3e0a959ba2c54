"""What a dataset is on disk, and how batches are drawn from it."""
