"""Read mazes of another size than the network was trained on, where its layers do not depend on the size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError
from trm_cli.shell import command_line

if TYPE_CHECKING:
    import torch

    from trm_cli.models.network_config import NetworkConfig
    from trm_cli.training.run.sealed_config import Sealed
    from trm_cli.training.run.trained_model import TrainedModel


def fit_maze(
    trained: TrainedModel, text: str, device: torch.device, notify: Callable[[str], None]
) -> tuple[TrainedModel, int]:
    """Return the model for the size of a maze, and its cells: of another size where the architecture allows it.

    Tables of rotary positions are computed for any length; learned positions and an MLP along the positions exist for
    the trained one alone. Raises UsageError.
    """
    cells = maze_cells(trained, text)
    if cells == trained.metadata.seq_len:
        return trained, cells
    notify(
        f"{other_size(trained.metadata.seq_len, cells)}: {_build(cells)} builds such mazes, and a run on them with "
        f"init_from={trained.checkpoint} learns that size"
    )
    return resized(trained, cells, device), cells


def resized(trained: TrainedModel, cells: int, device: torch.device, forward_dtype: str = "float32") -> TrainedModel:
    """The same weights in a network for boards of so many cells, where `fixed_by` says nothing against it.

    Raises UsageError for an exported network.
    """
    from trm_cli.training.run.build import make_model
    from trm_cli.training.transfer.onnx_network import OnnxNetwork

    if isinstance(trained.model, OnnxNetwork):
        raise UsageError(
            f"an exported step reads boards of {_side(trained.metadata.seq_len)} alone, and this is {_side(cells)}",
            hint="the network itself reads both: leave --backend out",
        )
    metadata = replace(trained.metadata, seq_len=cells)
    model = make_model(trained.config, metadata, forward_dtype)
    model.load_state_dict(trained.model.state_dict())
    return replace(trained, model=model.to(device).eval(), metadata=metadata)


def fixed_by(arch: NetworkConfig, cells: int) -> str:
    """Why a network cannot read square boards of so many cells beside those it was trained on; empty where it can."""
    if getattr(arch, "mixing", "") == "mlp":
        return "mixes the cells by an MLP along their places (mlp_t)"
    if getattr(arch, "pos_encodings", "") == "learned":
        return "has a learned position for each cell"
    side, box = math.isqrt(cells), getattr(arch, "box", None)
    if getattr(arch, "pos_encodings", "") == "board" and box is not None and (side % box[0] or side % box[1]):
        return f"has boxes of {box[0]}x{box[1]} cells, which do not tile {side}x{side}"
    return ""


def maze_cells(trained: TrainedModel | Sealed, text: str) -> int:
    """Return the cells of a maze that the network can read: another square than the trained one where it may.

    Raises UsageError where it may not.
    """
    cells = _cells(text)
    if cells is None or cells == trained.metadata.seq_len:
        return trained.metadata.seq_len  # what is no square is told when it is parsed
    if fixed := fixed_by(trained.config.arch, cells):
        was, now = _side(trained.metadata.seq_len), _side(cells)
        raise UsageError(
            f"this maze is {now}, and the network {fixed}: it exists for {was} alone",
            hint=f"{_build(cells)} builds such mazes for a run of their own",
        )
    return cells


def other_size(trained: int, found: int) -> str:
    """What is unusual about `found` cells for a network that was trained on `trained` cells."""
    more = ", which may need more steps (--steps)" if found > trained else ""
    return f"trained on {_side(trained)} mazes, and this is {_side(found)}{more}"


def _side(cells: int) -> str:
    return f"{math.isqrt(cells)}x{math.isqrt(cells)}"


def _build(cells: int) -> str:
    """The command that builds mazes of so many cells."""
    return command_line("python", "-m", "dataset_builders.maze", "--size", str(math.isqrt(cells)))


def _cells(text: str) -> int | None:
    """The cells of a square maze by the number of its rows, or of all cells in one line; None where it is none."""
    rows = text.replace("\r", "").strip("\n").split("\n")
    side = len(rows) if len(rows) > 1 else math.isqrt(len(rows[0]))
    whole = max(map(len, rows)) <= side if len(rows) > 1 else side * side == len(rows[0])
    return side * side if side > 1 and whole else None
