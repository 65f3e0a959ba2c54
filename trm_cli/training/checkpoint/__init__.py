"""Checkpoints: one file with a checksum, sharded files, the store of a run, retention, disk space."""
