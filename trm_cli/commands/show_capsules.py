"""`trm show-capsules`: draw how a capsule network solves a sample."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.options.arguments import Device, TrainedRun


def show_capsules(
    run: TrainedRun,
    sample: Annotated[
        str,
        typer.Argument(help="A row of the dataset by its number, the file of an ARC task or a picture, or a text."),
    ],
    out: Annotated[Path, typer.Option(help="Draw into this picture.", metavar="FILE.png")],
    split: Annotated[str, typer.Option(help="Which rows a number means.", metavar="train|test")] = "test",
    pair: Annotated[int, typer.Option(min=1, help="Which test pair of an ARC task.", metavar="N")] = 1,
    device: Device = None,
) -> None:
    """Draw where each capsule looks, and at each step what it expands, plans and does.

    [dim]Example: trm show-capsules checkpoints/multimodal-hesc 7 --out capsules.png[/dim]
    """
    from trm_cli.commands.options.arguments import expect_folder, expect_run, suggest_evaluation
    from trm_cli.errors import UsageError

    if split not in ("train", "test"):
        raise UsageError(f"--split is {split!r}; expected train or test")
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: name a file that ends in .png", hint=f"--out {out.with_suffix('.png')}")
    expect_folder(out)
    expect_run(run, device)
    from trm_cli.console.output import note, write_file
    from trm_cli.workflows.inspect.capsules import trace_capsules

    trace = trace_capsules(run, sample, split=split, pair=pair, device=device or "cpu", notify=note)
    from trm_cli.console.report.capsule_sheet import draw_sheet

    write_file(out, draw_sheet(trace))
    suggest_evaluation(run)
