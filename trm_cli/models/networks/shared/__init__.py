"""What token networks share. `token_config` loads no torch; `token_network` does."""
