"""What rows did in a step, as transitions for the replay."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.kinds import Kind
from trm_cli.models.hesc.losses import AnswerCheck
from trm_cli.models.hesc.replay import Transition
from trm_cli.models.layers.carry import Carry


def transitions(before: Carry, after: Carry, valid: Tensor) -> tuple[tuple[Transition, Tensor], ...]:
    """The step that led here, where the row is still the same puzzle, and a HALT now; each with the rows, bool [B],
    that have one.

    valid bool [B, 3]: the actions that there are after the step. A row that was reset in this step has no past: its
    last transition was stored, as terminal, when it halted.
    """
    old, new = before.extra, after.extra
    gain = new["accuracy"] - old["accuracy"]
    led_here = Transition(
        state=old["q_state"],
        action=old["action"],
        reward=(old["reward"] + gain).clamp(-1, 1),
        halt_reward=old["halt_reward"],
        next_state=new["q_state"],
        next_valid=valid,
        terminal=torch.zeros_like(before.halted),
    )
    ended = Transition(
        state=new["q_state"],
        action=new["action"],
        reward=new["halt_reward"],
        halt_reward=new["halt_reward"],
        next_state=new["q_state"],
        next_valid=valid,
        terminal=torch.ones_like(before.halted),
    )
    return (led_here, ~before.halted & old["learns"]), (ended, after.halted & new["learns"])


def rewarded(config: HescConfig, carry: Carry, check: AnswerCheck) -> Carry:
    """The carry with what a HALT would have paid now, and how right the answer is. A text chooses nothing."""
    pay = torch.where(check.right, config.reward_correct, config.reward_incorrect)
    learns = check.has_label & (carry.data["kind"] != Kind.TEXT)
    extra = carry.extra | {"halt_reward": pay, "accuracy": check.share.float(), "learns": learns}
    return replace(carry, extra=extra)
