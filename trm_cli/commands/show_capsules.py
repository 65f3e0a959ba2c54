"""`trm show-capsules`: one picture of how a capsule network came to its answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.arguments import Device, TrainedRun

if TYPE_CHECKING:
    from trm_cli.data.puzzles.dataset import Batch
    from trm_cli.models.hesc.model import MultimodalHesc
    from trm_cli.training.run.trained_model import TrainedModel


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show-capsules")(show_capsules)


def show_capsules(
    run: TrainedRun,
    sample: Annotated[
        str, typer.Argument(help="A row of the run's dataset by its number, the file of an ARC task, or a text.")
    ],
    out: Annotated[Path, typer.Option(help="Draw into this picture.", metavar="FILE.png")],
    split: Annotated[str, typer.Option(help="Which rows a number means.", metavar="train|test")] = "test",
    pair: Annotated[int, typer.Option(min=1, help="Which test pair of an ARC task.", metavar="N")] = 1,
    device: Device = None,
) -> None:
    """Draw where each capsule looks, what was expanded, which path was planned and what was done, step by step.

    [dim]Example: trm show-capsules checkpoints/multimodal-hesc 7 --out capsules.png[/dim]
    """
    from trm_cli.console.output import note
    from trm_cli.console.report.capsule_sheet import Sheet, draw_sheet
    from trm_cli.errors import TrmError, UsageError
    from trm_cli.training.hardware.devices import prepare_threads

    if split not in ("train", "test"):
        raise UsageError(f"--split is {split!r}; expected train or test")
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: name a file that ends in .png")
    prepare_threads()
    import torch

    from trm_cli.data.files.durable import write_atomically
    from trm_cli.evaluation.samples.canvas_samples import said, wanted_of
    from trm_cli.evaluation.samples.capsule_trace import look
    from trm_cli.training.hardware.devices import choose_device
    from trm_cli.training.run.trained_model import load_trained

    torch.set_num_threads(1)
    where = torch.device(choose_device(device or "cpu").value)
    trained = load_trained(run, where)
    title, row, own = _row(trained, sample, split, pair)
    model = _capsules_of(trained)
    seen, canvas = look(model, row, where), model.settings.canvas_size
    answers = [said(step.answer, row, canvas) for step in seen.steps]
    subtitle = f"{trained.checkpoint}, update {trained.step:,}, {trained.config.arch.name}"
    # A text of the dataset is answered letter by letter, one that was typed is continued.
    note_on = " (given the letters before)" if not own and isinstance(answers[-1], str) else ""
    sheet = Sheet(title, subtitle, seen, answers, None if own else wanted_of(row, canvas), note_on)
    try:
        write_atomically(out, draw_sheet(sheet))
    except OSError as error:
        raise TrmError(f"{out} cannot be written: {error.strerror}") from error
    note(f"wrote {out}")


def _capsules_of(trained: TrainedModel) -> MultimodalHesc:
    from trm_cli.errors import UsageError
    from trm_cli.models.hesc.model import MultimodalHesc

    if not isinstance(trained.model, MultimodalHesc):
        raise UsageError(
            f"the run's architecture, {trained.config.arch.name}, has no capsules",
            hint="`trm solve` shows how a model of tokens came to its answer",
        )
    return trained.model


def _row(trained: TrainedModel, sample: str, split: str, pair: int) -> tuple[str, Batch, bool]:
    """A title, a batch of one for what was named, and whether its target is the model's own text."""
    from trm_cli.data.arc.task import parse_arc_task
    from trm_cli.errors import UsageError
    from trm_cli.evaluation.samples.canvas_samples import (
        continued_row,
        dataset_row,
        identifier_of,
        pair_row,
        require_stream,
    )

    model, config = _capsules_of(trained), trained.config
    canvas, length = model.settings.canvas_size, trained.metadata.seq_len
    if sample.strip().isdecimal():
        from trm_cli.data.opening import open_data

        data = require_stream(open_data(config.data_paths, split, canvas_size=canvas))
        return f"row {int(sample):,} of the {split} split", dataset_row(data, int(sample)), False
    if sample.endswith(".json") or Path(sample).is_file():
        try:
            task, name = parse_arc_task(Path(sample).read_text(encoding="utf-8")), Path(sample).stem
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{sample} cannot be read as text: {error}") from error
        if pair > len(task.tests):
            raise UsageError(f"{sample} has {len(task.tests)} test pairs, there is no number {pair}")
        known = identifier_of(name, config.data_paths)
        rule = "" if known else " (not in the run's dataset: it has learnt no rule for it)"
        row = pair_row(*task.tests[pair - 1], canvas, length, known)
        return f"ARC task {name}, test pair {pair}{rule}", row, False
    return f"what follows on {sample[-60:]!r}", continued_row(model, sample, length), True
