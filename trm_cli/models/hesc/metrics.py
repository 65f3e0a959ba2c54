"""Compute the metrics of a step: sums over groups of rows, each group with the `count` of its rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trm_cli.models.hesc.control.q_control import Action
from trm_cli.models.hesc.losses import AnswerCheck
from trm_cli.models.hesc.passes import NetworkPass
from trm_cli.models.hesc.rows.kinds import Kind


@torch.no_grad()
def of_halted(
    thought: NetworkPass, check: AnswerCheck, kind: Tensor, steps: Tensor, halted: Tensor, opened: Tensor
) -> dict[str, dict[str, Tensor]]:
    """Float32 sums over the rows that halted now and have a valid label (`halted`), and over the grids, texts and
    pictures among them, with the `count` of each.

    Of grids the share of right cells and of wholly right grids; of texts the share of right bytes and the mean bits per
    byte of a row; of pictures the share that has its class. expansions: opened capsules; residual: mean checksum error.
    """
    counted = halted & check.has_label
    grid, text, picture = (counted & (kind == one) for one in (Kind.GRID, Kind.TEXT, Kind.PICTURE))
    sums = {
        "halted": {
            "count": counted,
            "q_halt_accuracy": ((thought.q_halt >= 0) == check.right) & counted,
            "steps": steps * counted,
            "expansions": opened.sum(-1) * counted,
            "residual": thought.residual.mean(-1) * counted,
        },
        "grid_rows": {"count": grid, "accuracy": check.share * grid, "exact_accuracy": check.right & grid},
        "text_rows": {
            "count": text,
            "text_accuracy": check.share * text,
            "text_bits": check.nats / math.log(2) * text,
        },
        "picture_rows": {"count": picture, "picture_accuracy": check.right & picture},
    }
    return {
        group: {name: value.sum(dtype=torch.float32) for name, value in values.items()}
        for group, values in sums.items()
    }


@torch.no_grad()
def of_all(action: Tensor) -> dict[str, dict[str, Tensor]]:
    """Float32 sums over all rows of a step (`rows`), halted or not, with their `count`: how many chose to continue, to
    halt, to expand, of action int64 [B]."""
    sums = {f"chose_{one.name.lower()}": (action == one).sum(dtype=torch.float32) for one in Action}
    return {"rows": {"count": torch.ones_like(action, dtype=torch.float32).sum(), **sums}}
