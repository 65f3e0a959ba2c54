"""Scores of answers: exact grids by family, bits a byte of text, the share of pictures named rightly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.hesc_card.sources.examples import Examples
from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.task import ArcTask
from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.augmentations import UNKNOWN, view
from trm_cli.data.stream.boards import answered_grid
from trm_cli.data.stream.records import TEXT
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.vocabulary import FIRST_BYTE, FIRST_CONTROL
from trm_cli.evaluation.solving.demonstrated import solve_task
from trm_cli.models.network import Network

_ROWS = 64


class Answers(NamedTuple):
    """What a model says of rows. tokens int [B, S]; nats float [B, S]: the cost of each label that is asked."""

    tokens: NDArray[np.integer]
    nats: NDArray[np.floating]


Answering = Callable[[dict[str, torch.Tensor]], Answers]


def score(answering: Answering, examples: Examples) -> dict[str, Any]:
    """Score rows of one kind. Text as such: `bits_per_byte`, ends included; else `mean` over groups of the share of
    rows that are wholly right, `worst`, each group by name, and the share of right places."""
    right, places, nats, read = [], [], 0.0, 0
    for part in examples.parts(_ROWS):
        answers = answering({name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in part.items()})
        target = part["target"].astype(np.int64)
        asked = target != IGNORED_LABEL
        hits = (answers.tokens == target) & asked
        right.append(hits.sum(1) == asked.sum(1))
        places.append(hits.sum(1) / asked.sum(1).clip(1))
        nats += float(answers.nats[asked].sum())
        read += int(((target >= FIRST_BYTE) & (target < FIRST_CONTROL)).sum())
    if examples.batch["kind"][0] == TEXT and examples.names == ("text",):
        return {"bits_per_byte": round(nats / math.log(2) / read, 4), "bytes": read, "rows": len(examples)}
    exact = np.concatenate(right)
    groups = {name: round(float(exact[examples.groups == i].mean()), 4) for i, name in enumerate(examples.names)}
    worst = min(groups, key=groups.__getitem__)
    found = {"mean": round(float(np.mean(list(groups.values()))), 4), "worst": [worst, groups[worst]]}
    return {**found, "places": round(float(np.concatenate(places).mean()), 4), "rows": len(examples), "groups": groups}


def voted(network: Network, shape: StreamShape, examples: Examples, votes: int) -> dict[str, Any]:
    """The share of tasks that are right where so many views vote, as `trm solve` lets them: its mean over groups."""
    views = [view(UNKNOWN, number) for number in range(votes)]
    right: list[bool | None] = []
    for row in examples.parts(1):
        [answer] = solve_task(network.eval(), _task(row), shape, views, torch.device("cpu"), batch_size=votes)
        right.append(answer.right)
    groups = [float(np.mean(np.array(right)[examples.groups == i])) for i in range(len(examples.names))]
    named = dict(zip(examples.names, groups, strict=True))
    return {"votes": votes, "mean": round(float(np.mean(groups)), 4), "groups": named}


def _task(row: Batch) -> ArcTask:
    """The task of a row: its demonstrations, what is asked, and the answer."""
    side = math.isqrt(row["cells"].shape[1])
    pairs = [
        (_grid(cells[0], size[:2]), _grid(cells[1], size[2:]))
        for cells, size in zip(row["pair_cells"][0], row["pair_size"][0], strict=True)
        if size.any()
    ]
    return ArcTask(tuple(pairs), ((_grid(row["cells"][0], row["size"][0]), answered_grid(row["target"][0], side)),))


def _grid(cells: NDArray[Any], size: NDArray[Any]) -> Grid:
    side = math.isqrt(len(cells))
    return (cells.reshape(side, side)[: size[0], : size[1]] - 1).astype(np.uint8)
