"""Steps of a repeated event: every so many epochs, and always at the last step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import overload

from trm_cli.schedule.steps import Rounding, steps_per_epoch


@dataclass(frozen=True)
class Cadence(Sequence[int]):
    """The steps floor(gap * k) for k = 1, 2, ... below total, and total itself, ascending and without repetition.

    A rule, not a list: a run of millions of steps that evaluates at each of them costs nothing to describe.
    gap: steps between two of them, at least 1, not always whole. total: the last step of the run.
    """

    gap: Fraction
    total: int

    def __post_init__(self) -> None:
        if self.gap < 1 or self.total < 1:
            raise ValueError(f"Nothing can happen every {self.gap} of {self.total} steps.")

    @property
    def _regular(self) -> int:
        """The number of steps strictly before the last one."""
        # floor(gap * k) <= total - 1  <=>  gap * k < total
        return -(-self.total * self.gap.denominator // self.gap.numerator) - 1

    def __len__(self) -> int:
        return self._regular + 1

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(index)
        if position == self._regular:
            return self.total
        return self.gap.numerator * (position + 1) // self.gap.denominator

    def __contains__(self, step: object) -> bool:
        if not isinstance(step, int) or not 0 < step <= self.total:
            return False
        if step == self.total:
            return True
        nearest = -(-step * self.gap.denominator // self.gap.numerator)
        return self.gap.numerator * nearest // self.gap.denominator == step

    @property
    def longest_gap(self) -> int:
        """The largest number of steps between two events, or before the first."""
        return self.total if len(self) == 1 else -(-self.gap.numerator // self.gap.denominator)


def every_epochs(interval: int, samples: Fraction, batch: int, rounding: Rounding, total: int) -> Cadence:
    """Return the ends of every `interval` epochs (at least 1), and the last step."""
    if rounding == "per_epoch":
        return Cadence(Fraction(steps_per_epoch(samples, batch) * interval), total)
    # Several intervals inside one batch all end at that batch's step: every step has an end in it, so the gap is 1.
    return Cadence(max(Fraction(1), samples * interval / batch), total)
