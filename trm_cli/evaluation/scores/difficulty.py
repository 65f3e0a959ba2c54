"""Measure the difficulty of rows and accuracy by difficulty: Sudoku clues and ratings, maze path lengths.

All of it is read from what the dataset holds; nothing depends on a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.puzzles.kinds import kind_of
from trm_cli.evaluation.scores.intervals import Share

Numbers = NDArray[np.integer]

MOST_BINS = 8


def features(batch: Batch, metadata: DatasetMetadata, ratings: Numbers | None) -> dict[str, Numbers]:
    """Measure the difficulty of the rows of a batch, [B] by name; of a stream its kinds of `record`.

    ratings: those of the builder (for generated Sudoku the guesses that a solver makes), [B], where there are any.
    """
    if "kind" in batch:
        return {"record": _integers(batch["kind"])}
    found: dict[str, Numbers] = {}
    if ratings is not None:
        found["rating"] = _integers(ratings)
    for name, measure in kind_of(metadata).difficulty.items():
        tokens = _integers(batch[measure.column])
        found[name] = _integers(((tokens >= measure.lowest) & (tokens <= measure.highest)).sum(1))
    return found


def by_difficulty(
    values: Mapping[str, Numbers], right: NDArray[np.bool_], tokens: NDArray[np.floating]
) -> dict[str, list[dict[str, Any]]]:
    """Compute exact and token accuracy by feature, in bins. values, right, tokens (share that is right): [N]."""
    return {name: _table(column, right, tokens) for name, column in values.items() if len(column)}


def bins(values: Numbers, most: int = MOST_BINS) -> list[tuple[int, int]]:
    """Make ranges (lowest, highest), both included, that hold the values [N >= 1]: one for each of a few values.

    Otherwise at most `most` ranges with about as many rows in each; equal values are never torn apart.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= most:
        return [(int(value), int(value)) for value in distinct]
    # The bin of a value is that of the middle of its rows in the sorted order.
    middle = np.cumsum(counts) - counts / 2
    place = np.minimum((middle * most / len(values)).astype(np.int64), most - 1)
    groups = [distinct[place == index] for index in np.unique(place)]
    return [(int(group.min()), int(group.max())) for group in groups]


def _table(values: Numbers, right: NDArray[np.bool_], tokens: NDArray[np.floating]) -> list[dict[str, Any]]:
    rows = []
    for low, high in bins(values):
        inside = (values >= low) & (values <= high)
        count = int(inside.sum())
        label = str(low) if low == high else f"{low}-{high}"
        rows.append(
            {
                "label": label,
                "from": low,
                "to": high,
                "exact": Share(int(right[inside].sum()), count).to_json(),
                "token": Share(min(float(tokens[inside].sum()), count), count).to_json(),
            }
        )
    return rows


def _integers(values: NDArray[np.generic]) -> Numbers:
    return np.asarray(values).astype(np.int32)
