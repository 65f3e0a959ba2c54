"""Train a baseline for a given processor time, with checkpoints that it continues from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from benchmarks.hesc_card.learners.scoring import Answers
from benchmarks.processor_time import ProcessorTime
from trm_cli.data.files.durable import atomic_file
from trm_cli.training.hardware.torch_runtime import keep_freed_memory

#: Of the time: how long the learning rate rises; and what of it is left at the end of its cosine.
_WARM_UP, _LAST_RATE = 0.03, 0.1
_SECONDS_BETWEEN_CHECKPOINTS = 60.0

Rows = dict[str, Tensor]


class Learner(Protocol):
    """A baseline: weights, optimizer and average, with all that the next update depends on."""

    def update(self, batch: Rows, step: int, rate: float) -> None:
        """One update at a learning rate."""

    def answer(self, batch: Rows) -> Answers:
        """Answer with the averaged weights."""

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` continues from."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue."""

    @property
    def parameters(self) -> int:
        """How many numbers are learnt."""


class Ended(NamedTuple):
    """How a training has ended."""

    updates: int
    seconds: float


def train(learner: Learner, batch_of: Callable[[int], Rows], seconds: float, rate: float, path: Path) -> Ended:
    """Update until the processor time is up: a warm-up, then a cosine over the time itself.

    batch_of: the rows of an update, counted from 1. path: the checkpoint.
    """
    keep_freed_memory()
    step, clock = 0, ProcessorTime()
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        learner.load_state_dict(saved["learner"])
        step, clock = saved["step"], ProcessorTime(saved["seconds"])
    written = time.monotonic()
    while (share := clock.seconds / seconds) < 1:
        step += 1
        learner.update(batch_of(step), step, rate * _rate_at(share))
        if time.monotonic() - written > _SECONDS_BETWEEN_CHECKPOINTS:
            _save(learner, step, clock.seconds, path)
            written = time.monotonic()
    _save(learner, step, clock.seconds, path)
    return Ended(step, clock.seconds)


def _rate_at(share: float) -> float:
    if share < _WARM_UP:
        return max(share, 1e-3) / _WARM_UP
    return _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * (share - _WARM_UP) / (1 - _WARM_UP))) / 2


def _save(learner: Learner, step: int, seconds: float, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as stream:
        torch.save({"learner": learner.state_dict(), "step": step, "seconds": seconds}, stream)
