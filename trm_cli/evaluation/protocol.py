"""Define the protocol of an evaluation: the settings that change its numbers, and that its result records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Protocol:
    """steps: supervision steps a row may take. early_halt: a row stops as soon as its halting head says so (published:
    every row runs all steps). restarts: passes over each row, the first from the trained start, the others from starts
    moved by `noise` standard deviations of normal numbers that (seed, row, restart) decide. policy: by what rows stop
    early (`full`, `bce` or `q`); None: by early_halt. views: each of these passes is made over so many views of the
    puzzle. until_solved: at most so many passes over a row, until an answer keeps the rules of its puzzle.
    """

    steps: int
    early_halt: bool = False
    restarts: int = 1
    noise: float = 1.0
    seed: int = 0
    policy: str | None = None
    views: int = 1
    until_solved: int | None = None

    def __post_init__(self) -> None:
        if min(self.steps, self.restarts, self.views, self.until_solved or 1) < 1 or self.noise < 0:
            raise ValueError(f"steps, restarts and views must be at least 1 and noise not negative: {self}")

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name, without those that have no effect, so that equal evaluations compare equal."""
        values = asdict(self)
        defaults = {"policy": None, "views": 1, "until_solved": None}
        without_effect = {name for name, value in defaults.items() if values[name] == value}
        if self.restarts == 1 and self.until_solved is None:
            without_effect |= {"noise"} if self.views > 1 else {"noise", "seed"}
        return {name: value for name, value in values.items() if name not in without_effect}

    @property
    def halting(self) -> str:
        """By what rows stop: see `Network.halts`."""
        return self.policy or ("bce" if self.early_halt else "full")


def protocol_line(protocol: Mapping[str, Any]) -> str:
    """Describe a protocol's JSON in one line: supervision steps, early halting, restarts.

    trained_steps, where it has them: the steps that the model was trained with.
    """
    depth = f"{protocol['steps']} steps"
    trained = protocol.get("trained_steps", protocol["steps"])
    if trained != protocol["steps"]:
        depth += f" (trained with {trained})"
    policy = protocol.get("policy") or ("bce" if protocol["early_halt"] else "full")
    by = f" by {policy}" if protocol.get("policy") else ""
    line = f"full depth, {depth}" if policy == "full" else f"early halting{by}, at most {depth}"
    if protocol.get("views", 1) > 1:
        line += f", {protocol['views']} views"
    if protocol.get("until_solved"):
        line += f", until the rules hold, at most {protocol['until_solved']} passes"
    if protocol["restarts"] > 1:
        line += f", {protocol['restarts']} restarts (noise {protocol['noise']:g}, seed {protocol['seed']})"
    return line
