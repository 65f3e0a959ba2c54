"""The layers of the networks as the papers define them: norms, gated MLPs, attention, positions, blocks.

Modules own float32 master weights, cast them once per forward pass and hand the copies to pure functions, so that all
recursive calls of a pass share them. `@computed_by` above a formula names its faster version in `models.kernels`.

May import `models.kernels` and `models.numerics`; knows no network.
"""
