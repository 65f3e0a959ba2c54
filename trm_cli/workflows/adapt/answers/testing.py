"""Test an adapted run while it learns: on demonstrations that it has not learned, and on those that it has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.workflows.adapt.answers.voting import load_voter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trm_cli.evaluation.rows import Scorer
    from trm_cli.evaluation.scores.intervals import Share
    from trm_cli.workflows.adapt.request import AdaptObserver

#: With how many of its augmentations a task has to have all demonstrations right.
_VARIANTS = 4


def score_left_out(run: Path, *, device: str, observer: AdaptObserver) -> Share:
    """How many of the test inputs with a known output the newest weights of `run` answer, without augmentation."""
    import numpy as np

    from trm_cli.data.files.metadata import IGNORED_LABEL
    from trm_cli.evaluation.rows import select
    from trm_cli.evaluation.scores.intervals import Share

    subject, scorer = load_voter(run, 1, device, observer)
    places = select(subject.data, None, 1)
    known = np.array([bool((row != IGNORED_LABEL).any()) for row in subject.data.eval_at(places)["labels"]])
    asked = places[known]
    return Share(int(_right(scorer, asked, subject.batch_size).sum()), len(asked))


def learned_tasks(run: Path, *, device: str, observer: AdaptObserver) -> tuple[list[int], int]:
    """The tasks, as groups of the run's dataset, whose demonstrations the newest weights of `run` all answer: plain,
    and in the first of their augmentations; and how many tasks there are."""
    import numpy as np

    from trm_cli.data.puzzles.dataset import PuzzleDataset
    from trm_cli.evaluation.rows import select

    subject, scorer = load_voter(run, _VARIANTS, device, observer, split="train")
    assert isinstance(subject.data, PuzzleDataset)
    places = select(subject.data, None, _VARIANTS)
    groups = subject.data.eval_groups(places)[0]
    tasks = int(groups.max()) + 1
    wrong = np.bincount(groups, ~_right(scorer, places, subject.batch_size), minlength=tasks)
    return np.flatnonzero(wrong == 0).tolist(), tasks


def _right(scorer: Scorer, places: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Whether the rows at `places` [n] are answered: bool [n]."""
    import numpy as np
    import torch

    found = [np.zeros(0, dtype=bool)]
    with torch.inference_mode():
        for first in range(0, len(places), size):
            found.append(scorer.score(places[first : first + size], 0)["right"][:, 0])
    return np.concatenate(found)
