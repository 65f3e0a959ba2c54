"""Trace how a capsule network solves one sample, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError
from trm_cli.paths import is_file
from trm_cli.text_encoding import decode
from trm_cli.workflows.trained_model import load, sealed_of

if TYPE_CHECKING:
    from trm_cli.data.puzzles.dataset import Batch
    from trm_cli.data.stream.shape import StreamShape
    from trm_cli.evaluation.samples.capsule_trace import SampleTrace
    from trm_cli.evaluation.samples.records import DecodedAnswer
    from trm_cli.evaluation.samples.written_text import FreeText
    from trm_cli.models.capsule_network import CapsuleNetwork
    from trm_cli.training.run.sealed_config import Sealed
    from trm_cli.training.run.trained_model import TrainedModel


_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")


@dataclass(frozen=True)
class SampleCapsuleTrace:
    """The trace of one sample.

    title: names the sample. look: what the network did. answers: after each step, as a grid, a class or a text, of
    which each letter was told with the right letters before it at hand. wanted: the right answer, None where it is
    unknown. free: of a text what the network wrote by itself.
    """

    title: str
    look: SampleTrace
    answers: Sequence[DecodedAnswer]
    wanted: DecodedAnswer | None
    free: FreeText | None
    architecture: str
    checkpoint: Path
    step: int


@dataclass(frozen=True)
class _SampleRow:
    """A batch of one row. own: what the model wrote, where that is what the row asks for."""

    title: str
    row: Batch
    own: FreeText | None = None


def trace_capsules(
    run: str,
    sample: str,
    *,
    split: str = "test",
    pair: int = 1,
    device: str = "cpu",
    notify: Callable[[str], None] = lambda _: None,
) -> SampleCapsuleTrace:
    """Solve a sample: a row of the split by its number, a test pair of an ARC task or a picture by its file, or a text.

    notify: receives messages for the user. Raises TrmError.
    """
    _shape(sealed_of(run))  # before anything that takes seconds to load
    trained, where = load(run, device, notify)
    from trm_cli.evaluation.samples.capsule_trace import trace_sample
    from trm_cli.evaluation.samples.records import decode_answer, decode_target
    from trm_cli.evaluation.samples.written_text import written_after_half
    from trm_cli.training.hardware.torch_runtime import set_threads

    set_threads(1)
    shape = _shape(trained)
    network, chosen = _capsules_of(trained), _read_sample(trained, sample, split, pair)
    seen = trace_sample(network, _without_answer(chosen.row), where)
    answers = [decode_answer(step.answer, chosen.row, shape.labels) for step in seen.steps]
    return SampleCapsuleTrace(
        title=chosen.title,
        look=seen,
        answers=answers,
        wanted=None if chosen.own else decode_target(chosen.row, shape.labels),
        free=written_after_half(network, chosen.row, shape) if seen.text is not None and not chosen.own else chosen.own,
        architecture=trained.config.arch.name,
        checkpoint=trained.checkpoint,
        step=trained.step,
    )


def _without_answer(row: Batch) -> Batch:
    """Ask a grid for every cell of its board: the answer may be larger than the right one. Other rows stay."""
    import numpy as np

    from trm_cli.data.files.metadata import IGNORED_LABEL
    from trm_cli.data.stream.records import GRID

    return {**row, "target": np.full_like(row["target"], IGNORED_LABEL)} if row["kind"][0] == GRID else row


def _shape(trained: TrainedModel | Sealed) -> StreamShape:
    from trm_cli.data.stream.shape import stream_shape

    side = trained.config.board_side
    if side is None:
        raise _without_capsules(trained)
    return stream_shape(trained.metadata, side, "the run's dataset")


def _capsules_of(trained: TrainedModel) -> CapsuleNetwork:
    from trm_cli.models.capsule_network import CapsuleNetwork

    network = trained.model
    if not isinstance(network, CapsuleNetwork):
        raise _without_capsules(trained)
    return network


def _without_capsules(trained: TrainedModel | Sealed) -> UsageError:
    return UsageError(
        f"the run's architecture, {trained.config.arch.name}, has no capsules",
        hint="`trm solve` shows how a model of tokens came to its answer",
    )


def _read_sample(trained: TrainedModel, sample: str, split: str, pair: int) -> _SampleRow:
    """Return the sample as a batch of one row."""
    from trm_cli.data.arc.task import parse_arc_task
    from trm_cli.data.stream.rows import grid_row
    from trm_cli.evaluation.samples.records import dataset_row, identifier_of, require_stream
    from trm_cli.evaluation.samples.written_text import continued_row

    config, shape = trained.config, _shape(trained)
    if sample.strip().isdecimal():
        from trm_cli.data.opening import open_data

        data = require_stream(open_data(config.data_paths, split, board_side=config.board_side))
        return _SampleRow(f"row {int(sample):,} of the {split} split", dataset_row(data, int(sample)))
    if is_file(sample) and Path(sample).suffix.lower() in _PICTURES:
        from trm_cli.data.stream.picture_file import read_picture
        from trm_cli.data.stream.rows import picture_row

        if shape.picture is None:
            raise UsageError("the run's dataset has no pictures")
        return _SampleRow(f"picture {Path(sample).name}", picture_row(shape, read_picture(sample, *shape.picture)))
    if sample.endswith(".json") or is_file(sample):
        try:
            task, name = parse_arc_task(decode(Path(sample).read_bytes())), Path(sample).stem
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{sample} cannot be read as text: {error}") from error
        if pair > len(task.tests):
            raise UsageError(f"{sample} has {len(task.tests)} test pairs, there is no number {pair}")
        known = identifier_of(name, config.data_paths)
        rule = "" if known or shape.demonstrations else " (not in the run's dataset: it has learnt no rule for it)"
        given, wanted = task.tests[pair - 1]
        try:
            row = grid_row(shape, given, wanted, task.demonstrations, identifier=known)
        except ValueError as error:
            raise UsageError(str(error), hint="larger grids need a run on a dataset that has some") from error
        return _SampleRow(f"ARC task {name}, test pair {pair}{rule}", row)
    row, own = continued_row(_capsules_of(trained), sample, shape)
    return _SampleRow(f"what follows {sample[-60:]!r}", row, own)
