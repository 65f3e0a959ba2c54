"""Divide a time budget between the probe, learning and voting, by what a probe has measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass

#: Of a budget.
MOST_OF_BUDGET = 0.15
#: What voting gets beyond what was measured, and at most of the budget.
_MARGIN, _MOST_VOTING = 1.3, 0.35
#: Where all of it ends, as a share of the budget, and the seconds that writing and ending take at least.
_END, _LAST_SECONDS = 0.95, 3.0


@dataclass(frozen=True)
class Probe:
    """Seconds of an update, of a vote of one row, and of loading a model to vote with."""

    update: float
    vote: float
    loading: float

    def to_json(self) -> dict[str, float]:
        """Plain data, for the progress of the run."""
        return asdict(self)

    def vote_seconds(self, rows: int, budget: float) -> float:
        """Seconds of a budget that voting on `rows` rows gets."""
        return min(_MARGIN * (self.loading + rows * self.vote), _MOST_VOTING * budget)


def end_of(budget: float) -> float:
    """The second of a budget at which the submission is written."""
    return max(0.0, min(_END * budget, budget - _LAST_SECONDS))
