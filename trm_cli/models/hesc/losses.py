"""Compute the loss terms of a step by name, each a weighted sum over rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trm_cli.models.all_ranks import AllRanks
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.passes import DemonstrationPass, KindPass, NetworkPass
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.models.hesc.thinking import planner
from trm_cli.models.supervision.losses import correct_tokens, per_row_mean, softmax_cross_entropy


@dataclass(frozen=True)
class AnswerCheck:
    """How right the rows are: nats [B]: mean cross entropy of a row's valid tokens (with its graph); share [B]: of
    right tokens; right bool [B]: all of them; has_label bool [B]. Detached but for the nats."""

    nats: Tensor
    share: Tensor
    right: Tensor
    has_label: Tensor


def check_answers(thought: NetworkPass, target: Tensor) -> AnswerCheck:
    """Compare the answers with target int [B, T] (-100: not asked)."""
    rows = torch.cat([part.rows for part in thought.parts])
    checks = [_check(part, part.labels(target)) for part in thought.parts]
    back = rows.argsort()
    return AnswerCheck(*(torch.cat(values)[back] for values in zip(*checks, strict=True)))


def _check(part: KindPass, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    nats = per_row_mean(softmax_cross_entropy(part.scores, labels), labels)
    with torch.no_grad():
        return nats, *correct_tokens(part.scores.argmax(-1), labels)


def _further_tokens(part: KindPass, target: Tensor) -> Tensor:
    """Mean cross entropy over the depths after the first, for text rows: [b]."""
    labels = part.labels(target)
    depths = [
        per_row_mean(softmax_cross_entropy(scores, wanted), wanted)
        for depth, scores in enumerate(part.further, start=1)
        for wanted in (labels[:, depth : depth + scores.shape[1]],)
    ]
    return torch.stack(depths).mean(0)


def _planner_terms(
    config: HescConfig, parts: tuple[KindPass, ...], check: AnswerCheck, all_ranks: AllRanks
) -> dict[str, Tensor]:
    """Loss terms of the planner: value of the followed path (is the row right?), even use of the paths, unlike
    thoughts.
    """
    planned = [(part.plan, part.rows) for part in parts if part.plan is not None]
    rows = torch.cat([rows for _, rows in planned])
    shares = torch.cat([plan.shares for plan, _ in planned])
    followed = torch.cat([(plan.weights.detach() * plan.values).sum(-1) for plan, _ in planned])
    value = functional.binary_cross_entropy_with_logits(
        followed, check.right[rows].float(), weight=check.has_label[rows].float(), reduction="sum"
    )
    alike = torch.stack([planner.likeness(plan.thoughts).sum() for plan, _ in planned]).sum()
    return {
        "planner_value_loss": config.planner_value_loss_weight * value,
        "planner_balance_loss": config.planner_balance_loss_weight * planner.balance(shares, all_ranks) * len(rows),
        "planner_diversity_loss": config.planner_diversity_loss_weight * alike,
    }


def _of_demonstrations(asked: DemonstrationPass) -> Tensor:
    """Mean cross entropy of the demonstrations of a row that were asked, as a sum over rows."""
    of_a_row = (asked.rows[:, None] == asked.rows).sum(1)
    nats = [
        (per_row_mean(softmax_cross_entropy(part.scores, labels), labels) / of_a_row[part.rows]).sum()
        for part in asked.parts
        for labels in (part.labels(asked.target),)
    ]
    return torch.stack(nats).sum()


def loss_terms(
    config: HescConfig, thought: NetworkPass, check: AnswerCheck, target: Tensor, all_ranks: AllRanks
) -> dict[str, Tensor]:
    """Name -> weighted sum over rows, 0-dim, with graph. Parts that are left out have no term.

    all_ranks: gathers the rows of all processes, for the term on how evenly paths are used.
    """
    halting = functional.binary_cross_entropy_with_logits(
        thought.q_halt, check.right.float(), weight=check.has_label.float(), reduction="sum"
    )
    terms = {f"{kind.name.lower()}_loss": check.nats.new_zeros(()) for kind in Kind}
    for part in thought.parts:
        terms[f"{part.kind.name.lower()}_loss"] = terms[f"{part.kind.name.lower()}_loss"] + check.nats[part.rows].sum()
    terms["q_halt_loss"] = config.halt_loss_weight * halting
    if config.demonstration_loss_weight:
        asked = check.nats.new_zeros(()) if thought.asked is None else _of_demonstrations(thought.asked)
        terms["demonstration_loss"] = config.demonstration_loss_weight * asked
    if config.enable_expansion:
        terms["checksum_loss"] = config.checksum_loss_weight * thought.residual.mean(-1).sum()
    if config.enable_mtp:
        ahead = [_further_tokens(part, target).sum() for part in thought.parts if part.further]
        terms["mtp_loss"] = config.mtp_loss_weight * torch.stack([check.nats.new_zeros(()), *ahead]).sum()
    if any(part.plan is not None for part in thought.parts):
        terms |= _planner_terms(config, thought.parts, check, all_ranks)
    return terms
