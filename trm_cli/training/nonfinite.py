"""A run whose numbers stay out of range ends, with what it computed on kept in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from trm_cli.data.durable import atomic_file
from trm_cli.errors import TrmError
from trm_cli.training.run_directory import NONFINITE
from trm_cli.training.state import TrainingState
from trm_cli.training.step import Skipped


def give_up(
    state: TrainingState,
    skipped: Skipped,
    batch: Mapping[str, Tensor],
    draws: Tensor,
    values: Mapping[str, float],
    directory: Path,
) -> TrmError:
    """Write all that the last update was computed from to `directory`; returns the error that ends the run.

    The file is a plain dictionary: `step`, `batch`, `carry` (before the update), `draws`, `values` (the clock) and
    `model` (the weights, which the update did not change).
    """
    path = directory / NONFINITE.replace("*", f"{state.step:08d}")
    contents = {
        "step": state.step,
        "reason": skipped.reason,
        "batch": dict(batch),
        "carry": skipped.before.state_dict(),
        "draws": draws,
        "values": dict(values),
        "model": state.model.state_dict(),
    }
    try:
        with atomic_file(path) as file:
            torch.save(contents, file)
        kept = f"its batch, carry and weights are in {path}; torch.load(path, weights_only=True) opens it"
    except OSError as error:
        kept = f"its batch could not be kept in {path} ({error.strerror})"
    count = state.skipped_in_a_row
    updates = "the last update" if count == 1 else f"{count} updates in a row"
    return TrmError(
        f"{updates} changed no weight; at update {state.step:,} {skipped.reason}\n{kept}",
        hint="continue from the last checkpoint with a smaller lr, grad_clip=1.0, or precision=float32",
    )
