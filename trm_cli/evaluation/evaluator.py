"""Run an evaluation batch by batch, with partial results on disk that an interrupted one continues from.

Every batch is durable before the next one begins, so an evaluation that is killed continues at the same batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.evaluation.partial_results import Columns, PartialResult
from trm_cli.evaluation.rows import Scorer


@dataclass(frozen=True)
class Evaluation:
    """Scores the rows `places` [N], `batch_size` at a time; `padded` fills the last batch up."""

    scorer: Scorer
    places: NDArray[np.int64]
    batch_size: int
    padded: bool
    partial: PartialResult

    @property
    def batches(self) -> int:
        """The number of batches."""
        return -(-len(self.places) // self.batch_size)

    def run(self, report: Callable[[int, bool], None]) -> None:
        """Score every batch that has no result yet.

        report is called after each batch with the number of rows that are done, and whether they had a result already.
        """
        model = self.scorer.model
        was_training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                for index in range(self.batches):
                    first = index * self.batch_size
                    places = self.places[first : first + self.batch_size]
                    found = self.partial.read(index) is not None
                    if not found:
                        padded_to = self.batch_size if self.padded else 0
                        self.partial.write(index, self.scorer.score(places, padded_to))
                    report(first + len(places), found)
        finally:
            model.train(was_training)

    def results(self) -> Iterator[Columns]:
        """Yield the columns of every batch, in order, after `run`."""
        for index in range(self.batches):
            columns = self.partial.read(index)
            if columns is None:
                raise RuntimeError(f"batch {index} was written and is gone")
            yield columns
