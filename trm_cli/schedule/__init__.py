"""What a run will do, as pure arithmetic on the global step: standard library only, no files, no clock."""
