"""Tiny Recursive Model (arXiv 2510.04871): one small stack, called again and again, deeply supervised."""

from __future__ import annotations

import torch
from torch import Tensor

from trm_cli.models.networks.token_network import PuzzleModel, PuzzleModelSettings, States, Weights

LATENTS = ("two", "single", "six")
_SCRATCH_STATES = 6


class TRM(PuzzleModel):
    """z_H holds the answer, z_L the scratch; one stack `L_level` updates both.

    A supervision step is H_cycles rounds of L_cycles updates of z_L and one of z_H; the gradient goes through the whole
    last round. latent "single" has one state for both; "six" has six scratch states, of which inner step i replaces
    the i-th while the sum of all is read. causal: the answer at a position depends on inputs up to it alone, through
    all rounds and supervision steps, so that a row of text can be learnt with every label the token after its input.
    """

    def __init__(
        self,
        *,
        H_cycles: int,
        L_cycles: int,
        L_layers: int,
        hidden_size: int,
        num_heads: int,
        expansion: float,
        mlp_t: bool,
        pos_encodings: str,
        rope_theta: float,
        halt_max_steps: int,
        halt_exploration_prob: float,
        puzzle_emb_ndim: int,
        puzzle_emb_len: int,
        no_ACT_continue: bool,
        latent: str,
        causal: bool = False,
        vocab_size: int,
        seq_len: int,
        num_puzzle_identifiers: int,
        forward_dtype: str = "float32",
    ) -> None:
        if latent not in LATENTS:
            raise ValueError(f"latent must be one of {', '.join(LATENTS)}, not {latent!r}.")
        if min(H_cycles, L_cycles, L_layers) < 1:
            raise ValueError("H_cycles, L_cycles and L_layers must be at least 1.")
        if latent == "six" and L_cycles > _SCRATCH_STATES:
            raise ValueError(f"latent six has {_SCRATCH_STATES} scratch states: L_cycles {L_cycles} is more than that.")
        super().__init__(
            PuzzleModelSettings(
                vocab_size=vocab_size,
                seq_len=seq_len,
                num_puzzle_identifiers=num_puzzle_identifiers,
                hidden_size=hidden_size,
                num_heads=num_heads,
                expansion=expansion,
                mlp_t=mlp_t,
                pos_encodings=pos_encodings,
                rope_theta=rope_theta,
                halt_max_steps=halt_max_steps,
                halt_exploration_prob=halt_exploration_prob,
                puzzle_emb_ndim=puzzle_emb_ndim,
                puzzle_emb_len=puzzle_emb_len,
                learns_to_continue=not no_ACT_continue,
                forward_dtype=forward_dtype,
                causal=causal,
            )
        )
        self.H_cycles, self.L_cycles, self.latent = H_cycles, L_cycles, latent
        self.L_level = self._make_stack(L_layers)
        if latent == "two":
            self._register_initial_states("z_H", "z_L")
        elif latent == "six":
            self._register_initial_states("z_H", *(f"z_L{i + 1}" for i in range(_SCRATCH_STATES)))
        else:
            self.answer_state = "z_L"  # the published name of the only state
            self._register_initial_states("z_L")

    def _think(self, z: States, x: Tensor, weights: Weights) -> States:
        with torch.no_grad():
            for _ in range(self.H_cycles - 1):
                z = self._round(z, x, weights)
        return self._round(z, x, weights)

    def _round(self, z: States, x: Tensor, weights: Weights) -> States:
        """L_cycles updates of the scratch, then one of the answer."""
        blocks, rope = weights["L_level"], self.rope
        if self.latent == "single":
            state = z["z_L"]
            for _ in range(self.L_cycles):
                state = self.L_level(state + x, blocks, rope)
            return {"z_L": self.L_level(state, blocks, rope)}
        answer = z["z_H"]
        injection = answer + x  # the same for all inner steps
        scratch = [value for name, value in z.items() if name != "z_H"]
        for inner in range(self.L_cycles):
            slot = inner if self.latent == "six" else 0
            scratch[slot] = self.L_level(_total(scratch) + injection, blocks, rope)
        answer = self.L_level(answer + _total(scratch), blocks, rope)
        return dict(zip(self.state_names, (answer, *scratch), strict=True))


def _total(states: list[Tensor]) -> Tensor:
    """Sum of one or six states, from left to right."""
    total = states[0]
    for state in states[1:]:
        total = total + state
    return total
