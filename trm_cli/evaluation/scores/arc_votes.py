"""Vote on ARC answers: each augmented row undoes its augmentation and votes for an answer to its test input.

Candidates are ranked by (votes, mean probability of being right); pass@k asks whether one of the first k is the answer,
as a mean over the test inputs of a task, then over tasks. A ballot belongs to one evaluation: the published code
never emptied its own, so that later figures of a run were ensembles over its earlier checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc import encoding, layout, transforms
from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.identifiers import NO_TASK, ArcIdentifiers
from trm_cli.data.arc.test_inputs import ArcTest

#: A grid as a key: height, width, then its colours row by row.
GridKey = bytes
Tokens = NDArray[Any]


@dataclass
class Candidate:
    """One answer: how many rows gave it, and the sum of their probabilities of being right."""

    key: GridKey
    votes: int = 0
    sureness: float = 0.0

    @property
    def grid(self) -> Grid:
        """The answer as a grid."""
        return grid_of(self.key)

    @property
    def confidence(self) -> float:
        """The mean probability."""
        return self.sureness / self.votes

    @property
    def rank(self) -> tuple[int, float]:
        """The sort key of candidates: votes, then confidence."""
        return self.votes, self.confidence


@dataclass
class Ballot:
    """All votes of one evaluation, by (task, test input)."""

    identifiers: ArcIdentifiers
    _boxes: dict[tuple[int, GridKey], dict[GridKey, Candidate]] = field(default_factory=dict)

    def add(
        self,
        inputs: Tokens,
        answers: Tokens,
        identifiers: NDArray[np.integer],
        confidence: NDArray[np.floating],
    ) -> None:
        """Count one vote a row: inputs and answers [B, S] as the model saw and said them, augmented, identifiers [B].

        confidence: the model's probability that each answer is right [B]. A row of the blank identifier belongs to no
        task and is not counted.
        """
        owners, symmetries, permutations = self.identifiers.transforms(identifiers)
        given, said = unshifted(inputs, answers)
        keys = list(grid_keys(given, symmetries, permutations))
        votes = list(grid_keys(said, symmetries, permutations))
        for owner, key, vote, sure in zip(owners.tolist(), keys, votes, confidence.tolist(), strict=True):
            if owner != NO_TASK:
                self.cast(owner, key, vote, sure)

    def cast(self, task: int, given: GridKey, answer: GridKey, confidence: float) -> None:
        """Count one vote for an answer to a test input of a task, as the plain task has them. task: its number."""
        candidate = self._boxes.setdefault((task, given), {}).setdefault(answer, Candidate(answer))
        candidate.votes += 1
        candidate.sureness += confidence

    def ranked(self, task: str, given: GridKey) -> list[Candidate]:
        """Rank the candidates for one test input, the best first; of equals the one that got a vote first."""
        owner = self.identifiers.tasks.index(task) if task in self.identifiers.tasks else NO_TASK
        box = self._boxes.get((owner, given), {})
        return sorted(box.values(), key=lambda one: one.rank, reverse=True)


@dataclass(frozen=True)
class VotedInput:
    """A test input of a task after the vote: the ranked candidates, their votes, and the answer where it is known."""

    task: str
    ranked: tuple[GridKey, ...]
    votes: int
    answer: GridKey | None

    def found(self, k: int) -> bool:
        """Return whether the answer is among the first k candidates."""
        return self.answer in self.ranked[:k]


def count_votes(ballot: Ballot, tests: Sequence[ArcTest]) -> list[VotedInput]:
    """Count the votes for every test input of every task in order, those without a vote included."""
    results = []
    for test in tests:
        for given, wanted in test.pairs:
            ranked = ballot.ranked(test.task, key_of(given))
            votes = sum(one.votes for one in ranked)
            answer = None if wanted is None else key_of(wanted)
            results.append(VotedInput(test.task, tuple(one.key for one in ranked), votes, answer))
    return results


def unshifted(inputs: Tokens, answers: Tokens) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Move inputs and answers [B, S] to the top left by the offset of the input.

    Rows of a published test set are not shifted; in those of a training set input and output are, both alike.
    """
    given, said = inputs.astype(np.uint8), answers.astype(np.uint8)
    side = layout.side_of(given.shape[1])
    marked = given.reshape(-1, side, side) != layout.PAD
    offsets = np.stack([marked.any(2).argmax(1), marked.any(1).argmax(1)], axis=1)  # [B, 2]
    for row in np.flatnonzero(offsets.any(1)).tolist():
        down, right = offsets[row]
        for tokens in (given, said):
            grid = np.zeros((side, side), np.uint8)
            kept = tokens[row].reshape(side, side)[down:, right:]
            grid[: len(kept), : kept.shape[1]] = kept
            tokens[row] = grid.reshape(-1)
    return given, said


def grid_keys(tokens: Tokens, symmetries: NDArray[np.uint8], permutations: NDArray[np.uint8]) -> Iterator[GridKey]:
    """Yield the key of each augmented row [B, S]: its grid, cropped and with the augmentation undone."""
    cells, sides = transforms.invert_predictions(tokens, symmetries, permutations)
    for grid in encoding.iterate_grids(cells, sides):
        yield key_of(grid)


def key_of(grid: NDArray[np.integer]) -> GridKey:
    """Encode a grid [H, W] of colours 0..9 as bytes."""
    return bytes(grid.shape) + grid.astype(np.uint8).tobytes()


def grid_of(key: GridKey) -> Grid:
    """Decode a key to its grid: the inverse of `key_of`."""
    return np.frombuffer(key, dtype=np.uint8, offset=2).reshape(key[0], key[1])
