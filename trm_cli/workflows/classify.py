"""Name what is on pictures with a trained model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError
from trm_cli.workflows.trained_model import load, sealed_of

if TYPE_CHECKING:
    import torch

    from trm_cli.data.puzzles.dataset import Batch
    from trm_cli.data.stream.shape import StreamShape
    from trm_cli.training.run.sealed_config import Sealed
    from trm_cli.training.run.trained_model import TrainedModel


@dataclass(frozen=True)
class Classified:
    """A picture with its likeliest labels, each with its probability, the likeliest first."""

    picture: str
    labels: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Classification:
    """What a checkpoint says of some pictures."""

    pictures: Sequence[Classified]
    checkpoint: Path
    step: int


def classify(
    run: str,
    pictures: Sequence[str],
    *,
    top: int = 5,
    device: str = "auto",
    notify: Callable[[str], None] = lambda _: None,
) -> Classification:
    """Classify picture files of any size; they are shaped as the pictures of the run's dataset were.

    notify: receives messages for the user. Raises TrmError.
    """
    rows = _rows(sealed_of(run), pictures, run)  # before anything that takes seconds to load
    return _classified(*load(run, device, notify), rows, top)


def classify_with(
    trained: TrainedModel, device: torch.device, pictures: Sequence[str], *, top: int, run: str
) -> Classification:
    """Classify picture files with a model that is loaded. run: its name in messages. Raises TrmError."""
    return _classified(trained, device, _rows(trained, pictures, run), top)


def _classified(trained: TrainedModel, device: torch.device, rows: Mapping[str, Batch], top: int) -> Classification:
    """Classify rows, by the names of their pictures."""
    import torch

    from trm_cli.data.stream.vocabulary import FIRST_LABEL
    from trm_cli.models.thinking import think

    known = _shape(trained, str(trained.checkpoint)).labels
    found = []
    for name, row in rows.items():
        batch = {field: torch.as_tensor(value).to(device) for field, value in row.items()}
        for step in think(trained.model, batch):
            outputs = step.outputs
        probs = outputs.logits[0, 0, FIRST_LABEL:].float().softmax(-1)
        best = probs.topk(min(top, len(known)))
        labels = [(known[i], float(p)) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
        found.append(Classified(name, labels))
    return Classification(found, trained.checkpoint, trained.step)


def _rows(trained: TrainedModel | Sealed, pictures: Sequence[str], run: str) -> dict[str, Batch]:
    """Read the pictures as rows of the run's dataset. Raises UsageError and DatasetError."""
    from trm_cli.data.stream.picture_file import read_picture
    from trm_cli.data.stream.rows import picture_row

    shape = _shape(trained, run)
    if shape.picture is None:
        raise UsageError(f"the dataset of {run} has no pictures", hint="`trm inspect-dataset` shows what it holds")
    channels, size = shape.picture
    return {name: picture_row(shape, read_picture(name, channels, size)) for name in pictures}


def _shape(trained: TrainedModel | Sealed, run: str) -> StreamShape:
    from trm_cli.data.stream.shape import stream_shape

    side = trained.config.board_side
    if side is None:
        raise UsageError(
            f"{run} was trained on rows of tokens, not on pictures",
            hint="runs of vision-unified and vision-optimized classify pictures",
        )
    return stream_shape(trained.metadata, side, "the run's dataset")
