"""Read a maze of another size than the network was trained on, where its layers do not depend on the size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError
from trm_cli.shell import command_line

if TYPE_CHECKING:
    import torch

    from trm_cli.training.run.trained_model import TrainedModel


def fit_maze(
    trained: TrainedModel, text: str, device: torch.device, notify: Callable[[str], None]
) -> tuple[TrainedModel, int]:
    """Return the model for the size of a maze, and its cells: of another size where the architecture allows it.

    Tables of rotary positions are computed for any length; learned positions and an MLP along the positions exist for
    the trained one alone. Raises UsageError.
    """
    trained_cells = trained.metadata.seq_len
    cells = _cells(text)
    if cells is None or cells == trained_cells:
        return trained, trained_cells  # what is no square is told when it is parsed
    was, now = (f"{side}x{side}" for side in map(math.isqrt, (trained_cells, cells)))
    arch = trained.config.arch
    fixed = ""
    if getattr(arch, "mixes_by_mlp", False):
        fixed = "mixes the cells by an MLP along their places (mlp_t)"
    elif getattr(arch, "pos_encodings", "") == "learned":
        fixed = "has a learned position for each cell"
    build = command_line("python", "-m", "dataset_builders.maze", "--size", str(math.isqrt(cells)))
    if fixed:
        raise UsageError(
            f"this maze is {now}, and the network {fixed}: it exists for {was} alone",
            hint=f"{build} builds such mazes for a run of their own",
        )
    notify(
        f"trained on {was} mazes, and this one is {now}: {build} builds such mazes, and a run on them with "
        f"init_from={trained.checkpoint} learns that size"
    )
    from trm_cli.training.run.build import make_model

    metadata = replace(trained.metadata, seq_len=cells)
    model = make_model(trained.config, metadata, "float32")
    model.load_state_dict(trained.model.state_dict())
    return replace(trained, model=model.to(device).eval(), metadata=metadata), cells


def _cells(text: str) -> int | None:
    """The cells of a square maze by the number of its rows, or of all cells in one line; None where it is none."""
    rows = text.replace("\r", "").strip("\n").split("\n")
    side = len(rows) if len(rows) > 1 else math.isqrt(len(rows[0]))
    whole = max(map(len, rows)) <= side if len(rows) > 1 else side * side == len(rows[0])
    return side * side if side > 1 and whole else None
