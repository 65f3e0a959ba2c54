"""Define the protocol of an evaluation: the settings that change its numbers, and that its result records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Protocol:
    """steps: supervision steps a row may take. early_halt: a row stops as soon as its halting head says so (published:
    every row runs all steps). restarts: passes over each row, the first from the trained start, the others from starts
    moved by `noise` standard deviations of normal numbers that (seed, row, restart) decide.
    """

    steps: int
    early_halt: bool = False
    restarts: int = 1
    noise: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1 or self.noise < 0:
            raise ValueError(f"steps and restarts must be at least 1 and noise not negative: {self}")

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name, without those that have no effect, so that equal evaluations compare equal."""
        values = asdict(self)
        return values if self.restarts > 1 else {name: values[name] for name in ("steps", "early_halt", "restarts")}


def protocol_line(protocol: Mapping[str, Any]) -> str:
    """Describe a protocol's JSON in one line: supervision steps, early halting, restarts.

    trained_steps, where it has them: the steps that the model was trained with.
    """
    depth = f"{protocol['steps']} steps"
    trained = protocol.get("trained_steps", protocol["steps"])
    if trained != protocol["steps"]:
        depth += f" (trained with {trained})"
    line = f"early halting, at most {depth}" if protocol["early_halt"] else f"full depth, {depth}"
    if protocol["restarts"] > 1:
        line += f", {protocol['restarts']} restarts (noise {protocol['noise']:g}, seed {protocol['seed']})"
    return line
