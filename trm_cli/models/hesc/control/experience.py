"""What rows did in a step, as transitions for the replay, and what is replayed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from trm_cli.models.all_ranks import AllRanks
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.control.replay import ReplayBuffer, Transition
from trm_cli.models.hesc.losses import AnswerCheck
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.models.supervision.carry import Carry


def nothing_yet(rows: int, state_size: int, device: torch.device) -> dict[str, Tensor]:
    """What is carried of the last step of rows that have made none, by name."""
    return {
        "q_state": torch.zeros(rows, state_size, device=device),
        "action": torch.zeros(rows, dtype=torch.int64, device=device),
        **{name: torch.zeros(rows, device=device) for name in ("reward", "halt_reward", "accuracy")},
        "learns": torch.zeros(rows, dtype=torch.bool, device=device),
    }


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


def store(replay: ReplayBuffer, ranks: AllRanks, steps: Sequence[tuple[Transition, Tensor]]) -> None:
    """Store the transitions of the rows that have one, those of all processes in one order."""
    for transition, keep in steps:
        *fields, kept = ranks.gather((*transition, keep))
        replay.push(Transition(*fields), kept)


def replayed(config: HescConfig, replay: ReplayBuffer, ranks: AllRanks, draws: Tensor) -> Transition:
    """A sample for the draws [B, n] of this process, whose part of the sample of all processes it is."""
    (everybody,) = ranks.gather((draws.contiguous(),))
    recent = int(config.replay_recent_fraction * everybody.numel())
    places = replay.places(everybody.flatten(), recent, config.replay_recent_window)
    return replay.at(places.view(everybody.shape)[ranks.rows(len(everybody))].flatten())
