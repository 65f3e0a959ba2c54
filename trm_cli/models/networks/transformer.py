"""Baseline without inner recursion: one deep transformer with the same deep supervision and halting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trm_cli.keys import Whole, count, key
from trm_cli.models.networks.shared.token_config import TokenConfig

if TYPE_CHECKING:
    from torch import Tensor

    from trm_cli.models.networks.shared.token_config import NoGrad, Stacks, States


class TransformerConfig(TokenConfig):
    """H_cycles calls (published: 1) of an `H_layers` deep stack `H_level` per step; halting and its training as in HRM.

    The input is added before each call, and the gradient goes through all of them.
    The head width is hidden_size // num_heads: 12 heads of a width of 512 are 42 wide.
    """

    family: Literal["transformer"] = key("transformer", "family of networks", resume="fatal")
    H_cycles: Whole = count(1, "passes through the blocks in a supervision step", resume="fatal", unit="passes")
    H_layers: Whole = count(8, "blocks, each with its own weights", resume="fatal", unit="blocks")

    @property
    def stacks(self) -> dict[str, int]:
        """The one."""
        return {"H_level": self.H_layers}

    @property
    def states(self) -> tuple[str, ...]:
        """There is no scratch."""
        return ("z_H",)

    def think(self, z: States, x: Tensor, stacks: Stacks, no_grad: NoGrad) -> States:  # noqa: ARG002
        """Every pass with a gradient."""
        state = z["z_H"]
        for _ in range(self.H_cycles):
            state = stacks["H_level"](state + x)
        return {"z_H": state}
