"""The baseline without inner recursion: one deep transformer inside the same supervision and halting."""

from __future__ import annotations

from torch import Tensor

from trm_cli.models.networks.token_network import PuzzleModel, PuzzleModelSettings, States, Weights


class Transformer(PuzzleModel):
    """H_cycles calls (published: 1) of an `H_layers` deep stack `H_level` per step; halting and its training as in HRM.

    The input is added before each call, and the gradient goes through all of them.
    The head width is hidden_size // num_heads: 12 heads of a width of 512 are 42 wide.
    """

    def __init__(
        self,
        *,
        H_cycles: int,
        H_layers: int,
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
        if min(H_cycles, H_layers) < 1:
            raise ValueError("H_cycles and H_layers must be at least 1.")
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
        self.H_cycles = H_cycles
        self.H_level = self._make_stack(H_layers)
        self._register_initial_states("z_H")

    def _think(self, z: States, x: Tensor, weights: Weights) -> States:
        state = z["z_H"]
        for _ in range(self.H_cycles):
            state = self.H_level(state + x, weights["H_level"], self.rope)
        return {"z_H": state}
