"""Compute the metrics of a step: sums over groups of rows, each group with the `count` of its rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trm_cli.models.hesc.concepts import Concepts, perplexity, used
from trm_cli.models.hesc.geometry import GRID, TEXT
from trm_cli.models.hesc.losses import AnswerCheck
from trm_cli.models.hesc.memory import EpisodicMemory
from trm_cli.models.hesc.network import NetworkPass
from trm_cli.models.hesc.planner import Plan
from trm_cli.models.hesc.q_control import Action


@torch.no_grad()
def of_halted(
    thought: NetworkPass, check: AnswerCheck, target_kind: Tensor, steps: Tensor, halted: Tensor, opened: Tensor
) -> dict[str, dict[str, Tensor]]:
    """Float32 sums over the rows that halted now and have a valid label (`halted`), the grids (`grid_rows`) and the
    texts (`text_rows`) among them, with the `count` of each.

    As an evaluation does, accuracies judge grids and bits judge texts: text_bits, mean bits per token of a row;
    text_accuracy, share of right tokens. expansions: opened capsules; residual: mean checksum error.
    """
    counted = halted & check.has_label
    grid, text = counted & (target_kind == GRID), counted & (target_kind == TEXT)
    sums = {
        "halted": {
            "count": counted,
            "q_halt_accuracy": ((thought.q_halt >= 0) == check.right) & counted,
            "steps": steps * counted,
            "expansions": opened.sum(-1) * counted,
            "residual": thought.capsules.residual.mean(-1) * counted,
        },
        "grid_rows": {"count": grid, "accuracy": check.share * grid, "exact_accuracy": check.right & grid},
        "text_rows": {
            "count": text,
            "text_accuracy": check.share * text,
            "text_bits": check.nats / math.log(2) * text,
        },
    }
    return {
        group: {name: value.sum(dtype=torch.float32) for name, value in values.items()}
        for group, values in sums.items()
    }


@torch.no_grad()
def of_all(
    action: Tensor, plan: Plan | None, codes: Tensor | None, concepts: Concepts | None, memory: EpisodicMemory | None
) -> dict[str, dict[str, Tensor]]:
    """Float32 sums over all rows of a step (`rows`), halted or not, with their `count`.

    chose_continue, chose_halt, chose_expand: rows that did so, of action int64 [B]; planner_gate, and planner_change:
    size of what the plan added beside that of the working set (near 0: the planner does nothing); concepts_used (share
    of the book) and concepts_perplexity of codes int64 [...], those of the whole batch; memory_filled: share of its
    places. What is not about single rows counts once for each.
    """
    rows = torch.ones_like(action, dtype=torch.float32).sum()
    sums = {f"chose_{one.name.lower()}": (action == one).sum(dtype=torch.float32) for one in Action}
    if plan is not None:
        sums |= {"planner_gate": plan.gate.sum(), "planner_change": plan.change.sum()}
    if concepts is not None and codes is not None:
        size = concepts.book.shape[0]
        sums |= {"concepts_used": rows * used(codes, size), "concepts_perplexity": rows * perplexity(codes, size)}
    if memory is not None:
        sums["memory_filled"] = rows * memory.filled()
    return {"rows": {"count": rows, **sums}}
