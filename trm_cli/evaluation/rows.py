"""Select the rows of an evaluation, and score a batch of them as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.data.puzzles.dataset import Batch, PuzzleDataset
from trm_cli.data.stream.dataset import StreamDataset
from trm_cli.data.stream.vocabulary import FIRST_BYTE, FIRST_CONTROL
from trm_cli.evaluation.micro_batches import micro_batches
from trm_cli.evaluation.partial_results import Columns
from trm_cli.evaluation.protocol import Protocol
from trm_cli.evaluation.scores import choosing
from trm_cli.evaluation.scores.accuracy import IGNORED
from trm_cli.evaluation.scores.difficulty import features
from trm_cli.evaluation.starts import start
from trm_cli.evaluation.thinking import Attempt, attempt

if TYPE_CHECKING:
    from trm_cli.models.network import Network

Data = PuzzleDataset | StreamDataset


def select(data: Data, limit: int | None, votes: int | None) -> NDArray[np.int64]:
    """Select the first `limit` puzzles (ARC: tasks), and at most `votes` augmentations of each.

    The plain puzzle is the first of its augmentations. A stream has no augmentations in its evaluation.
    """
    places = np.arange(data.eval_rows)
    if isinstance(data, StreamDataset):
        return places[:limit]
    groups, variants, _ = data.eval_groups(places)
    wanted = np.ones(len(places), dtype=bool)
    if limit is not None:
        wanted &= groups < limit
    if votes is not None:
        wanted &= variants < votes
    return places[wanted]


@dataclass(frozen=True)
class Scorer:
    """Scores rows of one dataset with one model.

    ratings [puzzles]: the builder's, where it keeps any. micro_batch_size: rows computed at once, None = a whole batch.
    """

    model: Network
    data: Data
    device: torch.device
    protocol: Protocol
    keep_answers: bool
    ratings: NDArray[Any] | None
    micro_batch_size: int | None = None

    def score(self, places: NDArray[np.int64], padded_to: int) -> Columns:
        """Compute the columns of the rows at `places` [B]: see `columns_of`.

        padded_to: rows that the batch is filled up to with such as do not count.
        """
        wanted = np.concatenate([places, np.full(max(0, padded_to - len(places)), self.data.eval_rows)])
        batch = self.data.eval_at(wanted)
        arrays = {name: torch.as_tensor(array).to(self.device) for name, array in batch.items() if name != "valid"}
        attempts = [self._attempt(arrays, wanted, restart) for restart in range(self.protocol.restarts)]
        real = {name: array[: len(places)] for name, array in batch.items() if name != "valid"}
        columns = {"place": places, **columns_of(real[self.model.label_field], attempts, keep=self.keep_answers)}
        return {**columns, **self._about(real, places)}

    def _attempt(self, batch: dict[str, torch.Tensor], places: NDArray[np.int64], restart: int) -> Attempt:
        steps, policy = self.protocol.steps, self.protocol.halting
        parts = []
        for rows in micro_batches(len(places), self.micro_batch_size):
            part = {name: value[rows] for name, value in batch.items()}
            carry = start(self.model, part, places[rows], self.protocol, restart)
            parts.append(attempt(self.model, part, carry, steps=steps, policy=policy))
        return Attempt.joined(parts)

    def _about(self, batch: Batch, places: NDArray[np.int64]) -> Columns:
        """Collect identifiers, groups and difficulty of the rows."""
        found: Columns = {"identifier": batch["puzzle_identifiers"].astype(np.int32)}
        ratings = None
        if isinstance(self.data, PuzzleDataset):
            found["group"], found["variant"], puzzles = self.data.eval_groups(places)
            ratings = None if self.ratings is None else self.ratings[puzzles]
        if "kind" in batch:
            labels = np.asarray(batch[self.model.label_field], dtype=np.int32)
            found["bytes"] = ((labels >= FIRST_BYTE) & (labels < FIRST_CONTROL)).sum(-1).astype(np.int32)
        difficulty = features(batch, self.data.metadata, ratings)
        return {**found, **{f"feature/{name}": values for name, values in difficulty.items()}}


def columns_of(labels: NDArray[Any], attempts: list[Attempt], *, keep: bool) -> Columns:
    """Compute arrays [B, ...] of B rows after K attempts; padding rows of the attempts come last and are left out.

    asked [B]: tokens that count; right bool [B, K]; tokens_right [B, K]; q_halt, steps, halted_at [B, K]; right_after
    bool [B, K, S]; nats [B, K]; answers [B, K, L] where they are kept. With several attempts also chosen/<rule> bool
    [B], chosen_tokens/<rule> [B], and unanimous bool [B].
    """
    rows = slice(len(labels))
    counted = labels != IGNORED

    def hits(answers: NDArray[np.integer]) -> NDArray[np.int32]:
        return np.asarray(((answers == labels) & counted).sum(-1), dtype=np.int32)

    asked = counted.sum(-1).astype(np.int32)
    tokens_right = np.stack([hits(one.answers[rows]) for one in attempts], axis=1)
    columns: Columns = {
        "asked": asked,
        "tokens_right": tokens_right,
        "right": (tokens_right == asked[:, None]) & (asked > 0)[:, None],
        **{
            name: np.stack([getattr(one, name)[rows] for one in attempts], axis=1)
            for name in ("q_halt", "steps", "halted_at", "right_after", "nats")
        },
    }
    answers = np.stack([one.answers[rows] for one in attempts])  # [K, B, L]
    if keep:
        columns["answers"] = narrow(answers.transpose(1, 0, 2))
    if len(attempts) > 1:
        q_halt, halted_at = columns["q_halt"].T, columns["halted_at"].T
        columns["unanimous"] = choosing.unanimous(answers)
        for rule, choose in choosing.RULES.items():
            found = hits(choose(answers, q_halt, halted_at))
            columns[f"chosen_tokens/{rule}"] = found
            columns[f"chosen/{rule}"] = (found == asked) & (asked > 0)
    return columns


def narrow(tokens: NDArray[np.integer]) -> NDArray[np.integer]:
    """Convert tokens to the smallest unsigned type that holds them."""
    return tokens.astype(np.min_scalar_type(int(tokens.max(initial=0))))
