"""Curves on [0, 1], and scheduled values that follow a chain of them over the global step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_DECAY = 5.0  # rate of the exponential curve: half of the way is covered after 14 % of the time


#: From progress to the share of the way that is covered, both from 0 to 1.
CURVES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda p: p,
    "cosine": lambda p: (1.0 - math.cos(math.pi * p)) / 2.0,
    # Divided by its value at p = 1, so that it arrives: 1 - exp(-5) alone stops at 0.9933 and would leap the rest.
    "exponential": lambda p: math.expm1(-_DECAY * p) / math.expm1(-_DECAY),
    "constant": lambda _: 0.0,
}


@dataclass(frozen=True)
class Segment:
    """One curve between two steps.

    written: how the configuration says where it ends ("lr_warmup_ratio 0.04"), for people.
    key: the configuration key that decides this, for the file and line where it stands.
    Segments are equal when they do the same, however it was written.
    Raises ValueError for an unknown curve, values that are not finite, or an end before the start.
    """

    curve: str
    start_value: float
    end_value: float
    start_step: int
    end_step: int
    written: str = field(default="", compare=False)
    key: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.curve not in CURVES:
            raise ValueError(f"{self.curve!r} is not a curve; it must be one of {', '.join(CURVES)}.")
        if not (math.isfinite(self.start_value) and math.isfinite(self.end_value)):
            raise ValueError(f"A schedule cannot go from {self.start_value} to {self.end_value}.")
        if not 0 <= self.start_step <= self.end_step:
            raise ValueError(f"A schedule cannot run from step {self.start_step} to step {self.end_step}.")
        if self.curve == "constant" and self.start_value != self.end_value:
            raise ValueError(f"A constant cannot go from {self.start_value} to {self.end_value}.")

    @property
    def length(self) -> int:
        """Steps from its start value to its end value."""
        return self.end_step - self.start_step

    def at(self, step: int) -> float:
        """Compute the value at a step: the exact start value before it, the exact end value from its last step on."""
        if step >= self.end_step:  # first, so that a segment without length is its end value
            return self.end_value
        if step <= self.start_step:
            return self.start_value
        part = CURVES[self.curve]((step - self.start_step) / self.length)
        value = self.start_value + (self.end_value - self.start_value) * part
        # Rounding may carry the last digit past an end; a schedule never leaves its range.
        low, high = sorted((self.start_value, self.end_value))
        return min(max(value, low), high)


@dataclass(frozen=True)
class Quantity:
    """A value that changes over training: its name, its unit, and its segments in the order of their steps."""

    name: str
    segments: tuple[Segment, ...]
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.segments:
            raise ValueError(f"{self.name} has no schedule.")
        for earlier, later in zip(self.segments, self.segments[1:], strict=False):
            if later.start_step < earlier.end_step:
                raise ValueError(f"{self.name} has two schedules at step {later.start_step}.")

    def at(self, step: int) -> float:
        """Compute the value at a global step, from the step alone."""
        for segment in reversed(self.segments):
            if step >= segment.start_step:
                return segment.at(step)
        return self.segments[0].at(step)

    @property
    def low(self) -> float:
        """The smallest value it takes."""
        return min(min(segment.start_value, segment.end_value) for segment in self.segments)

    @property
    def high(self) -> float:
        """The largest value it takes."""
        return max(max(segment.start_value, segment.end_value) for segment in self.segments)
