"""Plan a run by pure arithmetic on the global step: standard library only, no files, no wall time."""
