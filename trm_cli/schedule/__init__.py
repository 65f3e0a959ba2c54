"""The schedule of a run, computed from the global step alone. May import the standard library; reads no file."""
