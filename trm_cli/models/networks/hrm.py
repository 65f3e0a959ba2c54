"""Hierarchical Reasoning Model (arXiv 2506.21734): a slow and a fast network, one-step gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from trm_cli.models.networks.token_network import PuzzleModel, PuzzleModelSettings, States, Weights


class HRM(PuzzleModel):
    """`L_level` updates z_L L_cycles times, `H_level` then z_H, H_cycles times over.

    Only the last call of each network has a gradient. Halting compares q_halt with q_continue, and q_continue is
    trained on the better value of one more step (a second, gradient-free pass).
    """

    def __init__(
        self,
        *,
        H_cycles: int,
        L_cycles: int,
        H_layers: int,
        L_layers: int,
        hidden_size: int,
        num_heads: int,
        expansion: float,
        pos_encodings: str,
        rope_theta: float,
        halt_max_steps: int,
        halt_exploration_prob: float,
        puzzle_emb_ndim: int,
        puzzle_emb_len: int,
        vocab_size: int,
        seq_len: int,
        num_puzzle_identifiers: int,
        forward_dtype: str = "float32",
    ) -> None:
        if min(H_cycles, L_cycles, H_layers, L_layers) < 1:
            raise ValueError("H_cycles, L_cycles, H_layers and L_layers must be at least 1.")
        super().__init__(
            PuzzleModelSettings(
                vocab_size=vocab_size,
                seq_len=seq_len,
                num_puzzle_identifiers=num_puzzle_identifiers,
                hidden_size=hidden_size,
                num_heads=num_heads,
                expansion=expansion,
                mlp_t=False,
                pos_encodings=pos_encodings,
                rope_theta=rope_theta,
                halt_max_steps=halt_max_steps,
                halt_exploration_prob=halt_exploration_prob,
                puzzle_emb_ndim=puzzle_emb_ndim,
                puzzle_emb_len=puzzle_emb_len,
                learns_to_continue=True,
                forward_dtype=forward_dtype,
            )
        )
        self.H_cycles, self.L_cycles = H_cycles, L_cycles
        self.H_level = self._make_stack(H_layers)
        self.L_level = self._make_stack(L_layers)
        self._register_initial_states("z_H", "z_L")

    def _think(self, z: States, x: Tensor, weights: Weights) -> States:
        fast, slow, rope = weights["L_level"], weights["H_level"], self.rope
        z_H, z_L = z["z_H"], z["z_L"]
        with torch.no_grad():
            for cycle in range(self.H_cycles):
                last = cycle == self.H_cycles - 1
                for _ in range(self.L_cycles - last):
                    z_L = self.L_level(z_L + (z_H + x), fast, rope)
                if not last:
                    z_H = self.H_level(z_H + z_L, slow, rope)
        z_L = self.L_level(z_L + (z_H + x), fast, rope)
        z_H = self.H_level(z_H + z_L, slow, rope)
        return {"z_H": z_H, "z_L": z_L}
