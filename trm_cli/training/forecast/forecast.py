"""What a run will take: its time up to each evaluation and to the end, with a range, disk, memory, energy and price."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: Evaluations that a forecast lists at most.
_LISTED = 1000
#: A checkpoint is written at about so many bytes a second, and made durable in so many seconds.
_DISK_RATE, _DURABLE_SECONDS = 2e8, 0.02
_HOUR = 3600.0


@dataclass(frozen=True)
class Span:
    """Seconds: what is likely, and a range around it."""

    low: float
    likely: float
    high: float

    def times(self, count: float) -> Span:
        """So many of it."""
        return Span(self.low * count, self.likely * count, self.high * count)

    def plus(self, other: Span) -> Span:
        """This and then the other."""
        return Span(self.low + other.low, self.likely + other.likely, self.high + other.high)

    @classmethod
    def around(cls, seconds: Sequence[float], least: float = 0.1) -> Span:
        """The mean of what was measured, between the means of its faster and its slower half; at least a share of it to
        either side."""
        ordered = sorted(seconds)
        half = (len(ordered) + 1) // 2
        likely = sum(ordered) / len(ordered)
        fast, slow = sum(ordered[:half]) / half, sum(ordered[-half:]) / half
        return cls(min(fast, (1 - least) * likely), likely, max(slow, (1 + least) * likely))


@dataclass(frozen=True)
class Cost:
    """One update, or one evaluation. processor: its processor seconds in this process, None = not measured."""

    time: Span
    processor: float | None = None

    def times(self, count: float) -> Cost:
        """So many of it."""
        return Cost(self.time.times(count), None if self.processor is None else self.processor * count)


@dataclass(frozen=True)
class Forecast:
    """The forecast of a run from `first_step` on.

    source: how it was made, in words. eval_steps: those ahead, counted in `evaluations`, listed up to a number.
    checkpoint_bytes: of one; kept, saves: files that stay, and times that one is written. memory: bytes of a process.
    watts: None where the device does not tell.
    """

    source: str
    first_step: int
    total_steps: int
    update: Cost
    evaluation: Cost
    eval_steps: tuple[int, ...]
    evaluations: int
    checkpoint_bytes: int
    kept: int
    saves: int
    memory: int
    watts: float | None = None
    price_per_hour: float | None = None

    @property
    def updates_per_second(self) -> float:
        """While it trains."""
        return 1 / max(self.update.time.likely, 1e-9)

    @property
    def duration(self) -> Span:
        """Seconds to the end, evaluations and checkpoints included."""
        return self.until(self.total_steps, self.evaluations)

    def until(self, step: int, evaluations: int) -> Span:
        """Seconds until a step is done and so many evaluations with it."""
        share = (step - self.first_step) / max(1, self.total_steps - self.first_step)
        saving = share * self.saves * (_DURABLE_SECONDS + self.checkpoint_bytes / _DISK_RATE)
        spent = self.update.time.times(step - self.first_step).plus(self.evaluation.time.times(evaluations))
        return spent.plus(Span(saving / 2, saving, 2 * saving))

    @property
    def evaluated_after(self) -> list[tuple[int, float]]:
        """The steps that are evaluated, each with the likely seconds until its result is there."""
        return [(step, self.until(step, place + 1).likely) for place, step in enumerate(self.eval_steps)]

    @property
    def processor_seconds(self) -> float | None:
        """Of this process, to the end."""
        if self.update.processor is None or self.evaluation.processor is None:
            return None
        count = self.total_steps - self.first_step
        return self.update.processor * count + self.evaluation.processor * self.evaluations

    @property
    def disk(self) -> int:
        """Bytes of the checkpoints that stay."""
        return self.kept * self.checkpoint_bytes

    @property
    def joules(self) -> float | None:
        """Energy to the end."""
        return None if self.watts is None else self.watts * self.duration.likely

    @property
    def price(self) -> float | None:
        """In the unit of `price_per_hour`."""
        return None if self.price_per_hour is None else self.price_per_hour * self.duration.likely / _HOUR

    def to_json(self) -> dict[str, Any]:
        """What a run keeps of its forecast."""
        return {
            "source": self.source,
            "from_step": self.first_step,
            "updates_per_second": round(self.updates_per_second, 4),
            "seconds": {name: round(value, 3) for name, value in asdict(self.duration).items()},
            "cpu_seconds": None if self.processor_seconds is None else round(self.processor_seconds, 3),
            "evaluations": [[step, round(seconds, 3)] for step, seconds in self.evaluated_after],
            "disk_bytes": self.disk,
            "memory_bytes": self.memory,
            "joules": None if self.joules is None else round(self.joules, 1),
            "price": None if self.price is None else round(self.price, 4),
        }


def listed(steps: Sequence[int] | None, after: int) -> tuple[tuple[int, ...], int]:
    """The steps of a cadence after one, if they are few enough to list, and how many there are."""
    if steps is None:
        return (), 0
    ahead = range(bisect_right(steps, after), len(steps))
    return tuple(steps[place] for place in ahead) if len(ahead) <= _LISTED else (), len(ahead)
