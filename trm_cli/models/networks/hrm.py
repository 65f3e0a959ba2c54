"""Hierarchical Reasoning Model (arXiv 2506.21734): a slow and a fast network, one-step gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trm_cli.keys import Whole, count, key
from trm_cli.models.networks.shared.token_config import TokenConfig

if TYPE_CHECKING:
    from torch import Tensor

    from trm_cli.models.networks.shared.token_config import NoGrad, Stacks, States


class HrmConfig(TokenConfig):
    """`L_level` updates z_L L_cycles times, `H_level` then z_H, H_cycles times over.

    Only the last call of each network has a gradient. Halting compares q_halt with q_continue, and q_continue is
    trained on the better value of one more step (a second, gradient-free pass).
    """

    family: Literal["hrm"] = key("hrm", "family of networks", resume="fatal")
    H_cycles: Whole = count(2, "updates of the slow state", resume="fatal", unit="cycles")
    L_cycles: Whole = count(2, "updates of the fast state before each of the slow one", resume="fatal", unit="cycles")
    H_layers: Whole = count(4, "blocks of the slow network", resume="fatal", unit="blocks")
    L_layers: Whole = count(4, "blocks of the fast network", resume="fatal", unit="blocks")

    @property
    def stacks(self) -> dict[str, int]:
        """The slow and the fast network."""
        return {"H_level": self.H_layers, "L_level": self.L_layers}

    def think(self, z: States, x: Tensor, stacks: Stacks, no_grad: NoGrad) -> States:
        """All updates without a gradient but the last one of each state."""
        slow, fast = stacks["H_level"], stacks["L_level"]
        z_H, z_L = z["z_H"], z["z_L"]
        with no_grad():
            for cycle in range(self.H_cycles):
                last = cycle == self.H_cycles - 1
                for _ in range(self.L_cycles - last):
                    z_L = fast(z_L + (z_H + x))
                if not last:
                    z_H = slow(z_H + z_L)
        z_L = fast(z_L + (z_H + x))
        z_H = slow(z_H + z_L)
        return {"z_H": z_H, "z_L": z_L}
