"""The families of token networks: each module is one, its keys and its recursion, without torch.

`shared/` holds what they have in common: `token_config` their keys, `token_network` the one module that is built from a
family. A new family is a new module here, its file in `configs/arch/` and its paragraph in `docs/architectures.md`.
"""
