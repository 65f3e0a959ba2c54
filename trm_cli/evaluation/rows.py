"""Select the rows of an evaluation, and score a batch of them as columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.puzzles.dataset import Batch, PuzzleDataset
from trm_cli.data.puzzles.families import Sudoku
from trm_cli.data.stream.dataset import StreamDataset
from trm_cli.data.text.labels import text_labels
from trm_cli.evaluation.columns import columns_of
from trm_cli.evaluation.micro_batches import micro_batches
from trm_cli.evaluation.partial_results import Columns
from trm_cli.evaluation.passes import Pass, later, planned
from trm_cli.evaluation.protocol import Protocol
from trm_cli.evaluation.scores.difficulty import features
from trm_cli.evaluation.starts import start
from trm_cli.evaluation.thinking import Attempt, attempt

if TYPE_CHECKING:
    from trm_cli.data.puzzles.families import TextFamily
    from trm_cli.data.puzzles.views import Views
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
    family: the rules of the puzzles, where answers can be checked by them; views: their symmetries.
    """

    model: Network
    data: Data
    device: torch.device
    protocol: Protocol
    keep_answers: bool
    ratings: NDArray[Any] | None
    micro_batch_size: int | None = None
    family: TextFamily | None = None
    views: Views | None = None

    def score(self, places: NDArray[np.int64], padded_to: int) -> Columns:
        """Compute the columns of the rows at `places` [B]: see `columns_of`.

        padded_to: rows that the batch is filled up to with such as do not count.
        """
        wanted = np.concatenate([places, np.full(max(0, padded_to - len(places)), self.data.eval_rows)])
        batch = {name: array for name, array in self.data.eval_at(wanted).items() if name != "valid"}
        attempts = [self._attempt(batch, wanted, one) for one in planned(self.protocol)]
        real = {name: array[: len(places)] for name, array in batch.items()}
        labels = real[self.model.label_field]
        # One answer to a Sudoku that has one solution is right or wrong; of several shortest ways one is in the labels.
        valid = None
        if self.family is not None and (len(attempts) > 1 or not isinstance(self.family, Sudoku)):
            valid = np.stack([self._valid(real["inputs"], one.answers[: len(places)]) for one in attempts], axis=1)
        columns = {"place": places, **columns_of(labels, attempts, keep=self.keep_answers, valid=valid)}
        if self.protocol.until_solved is not None:
            columns |= self._until_solved(real, places, attempts[0])
        return {**columns, **self._about(real, places)}

    def _attempt(self, batch: Batch, places: NDArray[np.int64], one: Pass) -> Attempt:
        steps, policy = self.protocol.steps, self.protocol.halting
        view = self.views.draw(places, one.view) if one.view and self.views is not None else None
        if view is not None:
            label_field = self.model.label_field
            seen = {name: view.of(batch[name].astype(np.int32)) for name in ("inputs", label_field)}
            batch = {**batch, **seen}
        tensors = {name: torch.as_tensor(array).to(self.device) for name, array in batch.items()}
        has_text, parts = text_labels(self.data.metadata) is not None, []
        for rows in micro_batches(len(places), self.micro_batch_size):
            part = {name: value[rows] for name, value in tensors.items()}
            carry = start(self.model, part, places[rows], self.protocol, one.restart)
            parts.append(attempt(self.model, part, carry, steps=steps, policy=policy, likelihoods=has_text))
        made = Attempt.joined(parts)
        return made if view is None else replace(made, answers=view.back(made.answers).astype(np.int32))

    def _valid(self, puzzles: NDArray[Any], answers: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether each answer [B, L] keeps the rules of its puzzle: bool [B]."""
        assert self.family is not None
        pairs = zip(puzzles.tolist(), answers.tolist(), strict=True)
        return np.array([self.family.judge(puzzle, answer).solved for puzzle, answer in pairs], dtype=bool)

    def _until_solved(self, batch: Batch, places: NDArray[np.int64], first: Attempt) -> Columns:
        """Make passes over the rows whose answer breaks a rule, until none does or the limit is reached.

        checked/passes int32 [B]: after how many passes an answer kept the rules, 0: after none; checked/right bool [B]:
        whether it was right; checked/steps int32 [B]: supervision steps of all passes.
        """
        assert self.protocol.until_solved is not None and self.views is not None
        labels = batch[self.model.label_field]
        passes, right = np.zeros(len(places), np.int32), np.zeros(len(places), dtype=bool)
        steps, left, made = np.zeros(len(places), np.int32), np.arange(len(places)), first
        for number in range(self.protocol.until_solved):
            if number:
                part = {name: array[left] for name, array in batch.items()}
                made = self._attempt(part, places[left], later(number, self.views.count))
            answers = made.answers[: len(left)]
            steps[left] += made.steps[: len(left)]
            valid = self._valid(batch["inputs"][left], answers)
            passes[left[valid]] = number + 1
            right[left] = valid & ((answers == labels[left]) | (labels[left] == IGNORED_LABEL)).all(-1)
            left = left[~valid]
            if not len(left):
                break
        return {"checked/passes": passes, "checked/right": right, "checked/steps": steps}

    def _about(self, batch: Batch, places: NDArray[np.int64]) -> Columns:
        """Collect identifiers, groups and difficulty of the rows."""
        found: Columns = {"identifier": batch["puzzle_identifiers"].astype(np.int32)}
        ratings = None
        if isinstance(self.data, PuzzleDataset):
            found["group"], found["variant"], puzzles = self.data.eval_groups(places)
            ratings = None if self.ratings is None else self.ratings[puzzles]
        if (text := text_labels(self.data.metadata)) is not None:
            labels = np.asarray(batch[self.model.label_field], dtype=np.int32)
            bytes_ = (labels >= text.first) & (labels < text.stop) & text.bytes
            found["bytes"] = bytes_.sum(-1).astype(np.int32)
        difficulty = features(batch, self.data.metadata, ratings)
        return {**found, **{f"feature/{name}": values for name, values in difficulty.items()}}
