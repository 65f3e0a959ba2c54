"""Measure the calibration of the halting head: its probability of being right against the accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.evaluation.scores.intervals import Share

BINS = 10


def calibration(q_halt: NDArray[np.floating], right: NDArray[np.bool_], bins: int = BINS) -> dict[str, Any]:
    """Compare sigmoid(q_halt) [N] with `right` [N] in bins of equal width.

    bins: those that hold rows, each with its mean confidence and its share of right rows. expected_calibration_error:
    mean over the rows of |confidence of the bin - share of the bin| (Naeini 2015, Guo 2017). accuracy: how often the
    sign of q_halt tells right from wrong. brier: mean squared error of the probability.
    """
    confidence = sigmoid(q_halt)
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    filled = []
    error = 0.0
    for index in np.unique(place).tolist():
        rows = place == index
        share = Share(int(right[rows].sum()), int(rows.sum()))
        mean = float(confidence[rows].mean())
        error += abs(share.hits - mean * share.count)
        filled.append({"from": index / bins, "to": (index + 1) / bins, "confidence": mean, "right": share.to_json()})
    count = len(right)
    return {
        "expected_calibration_error": error / count if count else None,
        "brier": float(np.mean((confidence - right) ** 2)) if count else None,
        "accuracy": Share(int(((q_halt > 0) == right).sum()), count).to_json(),
        "bins": filled,
    }


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the probability of a logit, without overflow on either side."""
    small = np.exp(-np.abs(logits.astype(np.float64)))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)
