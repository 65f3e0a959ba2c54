"""Choose a few evaluated puzzles, some right and some wrong, with the answer after each step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.data.puzzles.dataset import PuzzleDataset
from trm_cli.evaluation.rows import Data
from trm_cli.evaluation.scores.calibration import sigmoid
from trm_cli.evaluation.thinking import sureness
from trm_cli.models.network import Network
from trm_cli.models.thinking import think

EACH = 3


def chosen_places(places: NDArray[np.int64], right_after: NDArray[np.bool_], each: int = EACH) -> NDArray[np.int64]:
    """Choose the right rows that took the most steps, and the first wrong ones: at most `each` of both.

    right_after: bool [N, S], whether the answer was right after each step; the last step decides.
    """
    right = right_after[:, -1]
    wrong_steps = (~right_after[right]).sum(1)
    return np.concatenate([places[right][np.argsort(-wrong_steps, kind="stable")][:each], places[~right][:each]])


def shown(model: Network, data: Data, places: NDArray[np.int64], device: torch.device) -> list[dict[str, Any]]:
    """Solve the rows at `places` again at full depth: input, label, and the answer after each step that changed it.

    Rows of tokens only: records of a stream are not shown.
    """
    if not len(places) or not isinstance(data, PuzzleDataset):
        return []
    batch = data.eval_at(places)
    arrays = {name: torch.as_tensor(array).to(device) for name, array in batch.items() if name != "valid"}
    answers, sure = [], []
    for step in think(model, arrays):
        answers.append(model.answer(step.outputs).cpu().numpy())
        sure.append(sigmoid(sureness(step.outputs.q_halt).cpu().numpy()))
    labels = batch[model.label_field]
    return [
        {
            "place": int(place),
            "input": batch["inputs"][row].tolist(),
            "label": labels[row].tolist(),
            "steps": _path([one[row] for one in answers], [float(one[row]) for one in sure]),
        }
        for row, place in enumerate(places)
    ]


def _path(answers: list[NDArray[np.integer]], q_halt: list[float]) -> list[dict[str, Any]]:
    """List step, answer and q_halt of the first step and of every one that changed the answer."""
    changed = [step for step, one in enumerate(answers) if not step or (one != answers[step - 1]).any()]
    return [{"step": step + 1, "q_halt": q_halt[step], "answer": answers[step].tolist()} for step in changed]
