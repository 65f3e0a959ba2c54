"""Tiny Recursive Model (arXiv 2510.04871): one small stack, applied repeatedly under deep supervision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from trm_cli.keys import Whole, count, key, ratio
from trm_cli.models.networks.shared.token_config import TokenConfig

if TYPE_CHECKING:
    from torch import Tensor

    from trm_cli.models.layers.stack import Mixing
    from trm_cli.models.network import StepClock
    from trm_cli.models.networks.shared.token_config import NoGrad, Stacks, States

_SCRATCH_STATES = 6
#: What a run may begin with fewer of.
_DEPTHS = {"H_cycles": "H_cycles_start", "L_cycles": "L_cycles_start", "halt_max_steps": "halt_max_steps_start"}


class TrmConfig(TokenConfig):
    """z_H holds the answer, z_L the scratch; one stack `L_level` updates both.

    A supervision step is H_cycles rounds of L_cycles updates of z_L and one of z_H; the gradient goes through the whole
    last round. latent "single" has one state for both; "six" has six scratch states, of which inner step i replaces
    the i-th while the sum of all is read. causal: the answer at a position depends on inputs up to it alone, through
    all rounds and supervision steps, so that a row of text can be learnt with every label the token after its input.
    """

    family: Literal["trm"] = key("trm", "family of networks", resume="fatal")
    H_cycles: Whole = count(3, "outer cycles T; only the last one has a gradient", resume="fatal", unit="cycles")
    L_cycles: Whole = count(6, "updates of z_L before each update of z_H (n)", resume="fatal", unit="cycles")
    H_cycles_start: Whole = count(0, "H_cycles at the start of training; 0 = as at its end", resume="replan",
                                  unit="cycles", least=0)  # fmt: skip
    L_cycles_start: Whole = count(0, "L_cycles at the start of training; 0 = as at its end", resume="replan",
                                  unit="cycles", least=0)  # fmt: skip
    halt_max_steps_start: Whole = count(0, "halt_max_steps at the start of training; 0 = as at its end",
                                        resume="replan", unit="steps", least=0)  # fmt: skip
    depth_anneal_ratio: float = ratio(0.5, "share in which they grow, in at most four stages")
    L_layers: Whole = count(2, "blocks in the shared stack", resume="fatal", unit="blocks")
    mlp_t: bool = key(False, "mix positions by an MLP instead of attention", resume="fatal")
    neighbours: bool = key(False, "mix each cell of a board with its eight neighbours alone", resume="fatal")
    no_ACT_continue: bool = key(True, "halt when q_halt > 0; false compares it with q_continue", resume="fatal")
    causal: bool = key(False, "no position looks ahead: for text, where a label is the next token", resume="fatal")
    latent: Literal["two", "single", "six"] = key(
        "two", "latent states: z_H and z_L, a single one, or six z_L", resume="fatal"
    )

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Those of every network, and the depths that begin elsewhere."""
        return (*super().scheduled, *(name for name, start in _DEPTHS.items() if getattr(self, start)))

    def at(self, clock: StepClock) -> Self:
        """With the depths of the clock: fewer cycles early (CGAR, arXiv 2511.08653)."""
        now = {name: int(getattr(clock, name)) for name in _DEPTHS}
        changed = {name: depth for name, depth in now.items() if depth not in (0, getattr(self, name))}
        return self.model_copy(update=changed) if changed else self

    @property
    def stacks(self) -> dict[str, int]:
        """One for all states."""
        return {"L_level": self.L_layers}

    @property
    def states(self) -> tuple[str, ...]:
        """The single one has the published name `z_L`."""
        scratch = {"two": ("z_L",), "single": (), "six": tuple(f"z_L{i + 1}" for i in range(_SCRATCH_STATES))}
        return (self.answer_state, *scratch[self.latent])

    @property
    def answer_state(self) -> str:
        """z_H, or the only one."""
        return "z_L" if self.latent == "single" else "z_H"

    def think(self, z: States, x: Tensor, stacks: Stacks, no_grad: NoGrad) -> States:
        """H_cycles rounds, the last one with a gradient."""
        with no_grad():
            for _ in range(self.H_cycles - 1):
                z = self._round(z, x, stacks)
        return self._round(z, x, stacks)

    def _round(self, z: States, x: Tensor, stacks: Stacks) -> States:
        """L_cycles updates of the scratch, then one of the answer."""
        stack = stacks["L_level"]
        answer, *scratch = (z[name] for name in self.states)
        if not scratch:
            for _ in range(self.L_cycles):
                answer = stack(answer + x)
            return {"z_L": stack(answer)}
        injection = answer + x  # the same for all inner steps
        for inner in range(self.L_cycles):
            scratch[inner % len(scratch)] = stack(_total(scratch) + injection)
        return dict(zip(self.states, (stack(answer + _total(scratch)), *scratch), strict=True))

    @property
    def mixing(self) -> Mixing:
        """By the keys neighbours and mlp_t."""
        if self.neighbours:
            return "neighbours"
        return "mlp" if self.mlp_t else "attention"

    @property
    def learns_to_continue(self) -> bool:
        """The key no_ACT_continue, negated."""
        return not self.no_ACT_continue

    @property
    def predicts_next_token(self) -> bool:
        """The key causal."""
        return self.causal

    def conflicts(self) -> list[tuple[str, str]]:
        """Those of every token network, a mask that an MLP over the positions cannot have, too many inner steps."""
        found = super().conflicts()
        if self.causal and self.mlp_t:
            found.append(("causal", "an MLP over the positions (mlp_t) sees all of them: set mlp_t to false"))
        if self.neighbours:
            found += self._beside_neighbours()
        if self.latent == "six" and self.L_cycles > _SCRATCH_STATES:
            found.append(("L_cycles", f"latent six has {_SCRATCH_STATES} scratch states, {self.L_cycles} is more"))
        return found

    def _beside_neighbours(self) -> list[tuple[str, str]]:
        """Keys that say nothing to a network whose cells see their neighbours alone."""
        found = []
        if self.mlp_t:
            found.append(("mlp_t", "mixes all positions, and neighbours only cells side by side: set one of them"))
        if self.causal:
            found.append(("causal", "is for text, and neighbours is for boards"))
        if self.puzzle_tokens:
            found.append(("puzzle_emb_ndim", "needs positions before the board, which no cell sees (neighbours)"))
        if self.pos_encodings not in ("none", "learned"):
            found.append(("pos_encodings", f"{self.pos_encodings} is for attention: set it to none (neighbours)"))
        return found


def _total(states: list[Tensor]) -> Tensor:
    """Sum of one or six states, from left to right."""
    total = states[0]
    for state in states[1:]:
        total = total + state
    return total
