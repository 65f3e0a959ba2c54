"""What a run will do, as pure arithmetic on the global step."""
