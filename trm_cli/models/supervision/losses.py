"""Compute losses and metrics of one supervision step, in float32 at least and summed over rows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trm_cli.models.numerics import widen
from trm_cli.models.supervision.outputs import Outputs

IGNORED_LABEL = -100
HALT_WEIGHT = 0.5


def log_stablemax_scores(x: Tensor) -> Tensor:
    """`log s(x)`, s(x) = x + 1 for x >= 0 and 1 / (1 - x) below: that is sign(x) * log(1 + |x|).

    Its softmax is stablemax, so no intermediate can overflow or vanish; the derivative is 1 / (1 + |x|) everywhere.
    """
    sign = torch.where(x < 0, -1.0, 1.0).to(x.dtype)
    return sign * torch.log1p(x * sign)


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """`-log softmax(logits)[label]` per token, 0 where the label is ignored: [..., V], [...] -> float32 [...]."""
    flat = F.cross_entropy(
        widen(logits).flatten(0, -2), labels.long().flatten(), ignore_index=IGNORED_LABEL, reduction="none"
    )
    return flat.view(labels.shape)


def stablemax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """`-log stablemax(logits)[label]` per token, 0 where the label is ignored: [..., V], [...] -> float32 [...]."""
    return softmax_cross_entropy(log_stablemax_scores(widen(logits)), labels)


def per_row_mean(token_loss: Tensor, labels: Tensor) -> Tensor:
    """Mean over the tokens with a valid label, 0 for a row without any: [B, S], [B, S] -> [B]."""
    return token_loss.sum(-1) / (labels != IGNORED_LABEL).sum(-1).clamp_min(1)


def correct_tokens(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(share of right tokens float32 [B], whole row right bool [B], row has a valid label bool [B]).

    A row without a valid label is never right: there is nothing that it answered.
    """
    valid = labels != IGNORED_LABEL
    right = valid & (predictions == labels)
    count, hits = valid.sum(-1), right.sum(-1)
    has_label = count > 0
    return hits / count.clamp_min(1), (hits == count) & has_label, has_label


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, share: float) -> Tensor:
    """Stablemax cross entropy with a target that gives `share` of its mass to all V tokens alike (label smoothing,
    arXiv 1512.00567): [..., V], [...] -> float32 [...], 0 where the label is ignored.
    """
    scores = log_stablemax_scores(widen(logits))
    found = F.cross_entropy(
        scores.flatten(0, -2), labels.long().flatten(), ignore_index=IGNORED_LABEL, reduction="none",
        label_smoothing=share,
    )  # fmt: skip
    return found.view(labels.shape)


def step_losses(
    outputs: Outputs, labels: Tensor, *, q_weight: float = HALT_WEIGHT, label_smoothing: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss with its graph, its weighted summands detached), sums over rows, for labels [B, S].

    Stablemax cross entropy, the halting loss (was the row right?) and, where there is a target, the continue loss, each
    times q_weight. Rows without a valid label take no part: neither a halting nor a continuing value could be right for
    them.
    """
    _, right, has_label = correct_tokens(outputs.logits.detach().argmax(-1), labels)
    weight = has_label.to(outputs.q_halt.dtype)
    token_loss = (
        smoothed_cross_entropy(outputs.logits, labels, label_smoothing)
        if label_smoothing
        else stablemax_cross_entropy(outputs.logits, labels)
    )
    terms = {
        "lm_loss": per_row_mean(token_loss, labels).sum(),
        "q_halt_loss": q_weight * _bce(outputs.q_halt, right.to(outputs.q_halt.dtype), weight),
    }
    if outputs.target_q_continue is not None:
        terms["q_continue_loss"] = q_weight * _bce(outputs.q_continue, outputs.target_q_continue, weight)
    loss = torch.stack(tuple(terms.values())).sum()
    return loss, {name: value.detach() for name, value in terms.items()}


@torch.no_grad()
def step_metrics(outputs: Outputs, labels: Tensor, steps: Tensor, halted: Tensor) -> dict[str, Tensor]:
    """Float32 sums over the rows that halted now and have a valid label. steps int32 [B], halted bool [B].

    count; accuracy: share of right tokens; exact_accuracy: whole rows; q_halt_accuracy: (q_halt >= 0) agrees with right
    or wrong; steps: steps used. Divided by count they are means.
    """
    share, right, has_label = correct_tokens(outputs.logits.argmax(-1), labels)
    counted = halted & has_label
    sums = {
        "count": counted,
        "accuracy": share * counted,
        "exact_accuracy": right & counted,
        "q_halt_accuracy": ((outputs.q_halt >= 0) == right) & counted,
        "steps": steps * counted,
    }
    return {name: value.sum(dtype=torch.float32) for name, value in sums.items()}


def _bce(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum")
