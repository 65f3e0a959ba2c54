"""End a run whose losses or gradients stay infinite or NaN, and write what it computed on to a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trm_cli.data.files.durable import atomic_file
from trm_cli.errors import TrmError
from trm_cli.training.checkpoint.checkpoint_format import write_archive
from trm_cli.training.distributed.full_state import gather_carry, gather_weights
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.run_files import NONFINITE
from trm_cli.training.state.training_state import TrainingState
from trm_cli.training.step import Skipped


def give_up(
    state: TrainingState,
    skipped: Skipped,
    values: Mapping[str, float],
    directory: Path,
    process_group: ProcessGroup,
) -> TrmError:
    """Write the inputs of a skipped update to `directory`; returns the error that ends the run.

    All processes call it, each with its rows; the first one writes those of all. The file is a plain dictionary,
    its tensors on the CPU: `step`, `reason`, `batch`, `carry` (before the update), `draws`, `values` (the clock) and
    `model` (the weights, which the update did not change, unsharded in a sharded run as well).
    """
    *rows, draws = (tensor.cpu().clone() for tensor in process_group.gather((*skipped.batch.values(), skipped.draws)))
    contents = {
        "step": skipped.step,
        "reason": skipped.reason,
        "batch": dict(zip(skipped.batch, rows, strict=True)),
        "carry": gather_carry(skipped.before.state_dict(), process_group),
        "draws": draws,
        "values": dict(values),
        "model": gather_weights(state.model.state_dict(), process_group),
    }
    path = directory / NONFINITE.replace("*", f"{skipped.step:08d}")
    kept = process_group.from_first(lambda: _keep(contents, path))
    count = state.skipped_in_a_row
    updates = "the last update was" if count == 1 else f"{count} updates in a row were"
    return TrmError(
        f"{updates} skipped; at update {skipped.step:,} {skipped.reason}\n{kept}",
        hint="continue from the last checkpoint with a smaller lr, grad_clip=1.0, or precision=float32",
    )


def _keep(contents: dict[str, Any], path: Path) -> str:
    """Write the file; returns a sentence on where it is."""
    try:
        with atomic_file(path) as file:
            write_archive(file, contents)
    except OSError as error:
        return f"its batch could not be saved to {path} ({error.strerror})"
    return f"its batch, carry and weights are in {path}; torch.load(path, weights_only=True) opens it"
