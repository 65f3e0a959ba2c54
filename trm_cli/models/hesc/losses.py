"""Compute the loss terms of a step by name, each a weighted sum over rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trm_cli.models.all_ranks import AllRanks
from trm_cli.models.hesc import planner
from trm_cli.models.hesc.capsules import map_overlap
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.geometry import TEXT
from trm_cli.models.hesc.network import NetworkPass
from trm_cli.models.layers.losses import IGNORED_LABEL, correct_tokens, per_row_mean


@dataclass(frozen=True)
class AnswerCheck:
    """How right the rows are: nats [B]: mean cross entropy of a row's valid tokens (with its graph); share [B]: of
    right tokens; right bool [B]: all of them; has_label bool [B]. Detached but for the nats."""

    nats: Tensor
    share: Tensor
    right: Tensor
    has_label: Tensor


def check_answers(thought: NetworkPass, target: Tensor) -> AnswerCheck:
    """Compare the answer with target int [B, T] (-100: not asked)."""
    labels = target.long()
    picked = thought.log_probs.gather(-1, labels.clamp_min(0)[..., None])[..., 0]
    nats = per_row_mean(torch.where(labels == IGNORED_LABEL, torch.zeros_like(picked), -picked), labels)
    with torch.no_grad():
        share, right, has_label = correct_tokens(thought.scores.argmax(-1), labels)
    return AnswerCheck(nats, share, right, has_label)


def _further_tokens(thought: NetworkPass, target: Tensor, is_text: Tensor) -> Tensor:
    """Mean cross entropy over the depths after the first, for text rows: [B]."""
    total = torch.zeros_like(thought.q_halt)
    for depth, scores in enumerate(thought.further, start=1):
        labels = torch.where(is_text[:, None], target[:, depth : depth + scores.shape[1]].long(), IGNORED_LABEL)
        token = functional.cross_entropy(
            scores.flatten(0, 1), labels.flatten(), ignore_index=IGNORED_LABEL, reduction="none"
        )
        total = total + per_row_mean(token.view(labels.shape), labels)
    return total / max(1, len(thought.further))


def _planner_terms(
    config: HescConfig, plan: planner.Plan, check: AnswerCheck, all_ranks: AllRanks
) -> dict[str, Tensor]:
    """Loss terms of the planner: value of the followed path (is the row right?), even use of the paths, unlike
    thoughts.
    """
    rows = float(check.right.shape[0])
    followed = (plan.weights.detach() * plan.values).sum(-1)
    value = functional.binary_cross_entropy_with_logits(
        followed, check.right.float(), weight=check.has_label.float(), reduction="sum"
    )
    return {
        "planner_value_loss": config.planner_value_loss_weight * value,
        "planner_balance_loss": config.planner_balance_loss_weight * planner.balance(plan.shares, all_ranks) * rows,
        "planner_diversity_loss": config.planner_diversity_loss_weight * planner.likeness(plan.thoughts).sum(),
    }


def loss_terms(
    config: HescConfig,
    thought: NetworkPass,
    check: AnswerCheck,
    target: Tensor,
    target_kind: Tensor,
    all_ranks: AllRanks,
) -> dict[str, Tensor]:
    """Name -> weighted sum over rows, 0-dim, with graph. Parts that are left out have no term.

    all_ranks: gathers the rows of all processes, for the term on how evenly paths are used.
    """
    is_text = target_kind == TEXT
    halting = functional.binary_cross_entropy_with_logits(
        thought.q_halt, check.right.float(), weight=check.has_label.float(), reduction="sum"
    )
    terms = {
        "grid_loss": (check.nats * ~is_text).sum(),
        "text_loss": (check.nats * is_text).sum(),
        "q_halt_loss": config.halt_loss_weight * halting,
        "map_diversity_loss": config.map_diversity_loss_weight * map_overlap(thought.capsules.maps).sum(),
    }
    if thought.capsules.children is not None:
        residual = thought.capsules.residual.mean(-1).sum()
        terms["checksum_loss"] = config.checksum_loss_weight * residual
    if thought.drawn:
        # Squared: the median of a canvas, which an absolute error asks for, is blank paper.
        errors = [(drawn - thought.patches).square().mean((1, 2)).sum() for drawn in thought.drawn]
        mean = torch.stack(errors).mean()
        terms["reconstruction_loss"] = config.reconstruction_loss_weight * mean
    if thought.coding is not None:
        terms["vq_loss"] = config.vq_loss_weight * thought.coding.commitment.sum()
    if thought.further:
        terms["mtp_loss"] = config.mtp_loss_weight * _further_tokens(thought, target, is_text).sum()
    if thought.plan is not None:
        terms |= _planner_terms(config, thought.plan, check, all_ranks)
    return terms
