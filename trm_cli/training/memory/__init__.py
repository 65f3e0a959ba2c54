"""How much memory an update needs, estimated before the first one."""
