"""Shared code of token networks. `token_config` imports no torch; `token_network` does."""
