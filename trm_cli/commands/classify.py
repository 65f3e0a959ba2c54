"""`trm classify`: name what is on pictures."""

from __future__ import annotations

from typing import Annotated

import typer

from trm_cli.commands.options.arguments import Device, Json, TrainedRun
from trm_cli.paths import exists

Pictures = Annotated[list[str], typer.Argument(help="Picture files, of any size.", metavar="PICTURE...")]
Top = Annotated[int, typer.Option(min=1, help="Number of labels per picture.", metavar="K")]


def classify(run: TrainedRun, pictures: Pictures, top: Top = 5, device: Device = None, as_json: Json = False) -> None:
    """Print the likeliest labels of pictures with their probabilities.

    [dim]Example: trm classify checkpoints/pictures cat.png[/dim]
    """
    from trm_cli.commands.options.arguments import expect_run
    from trm_cli.errors import UsageError

    if absent := [name for name in pictures if not exists(name)]:
        raise UsageError(f"there is no file {absent[0]}")
    expect_run(run, device)
    from trm_cli.console.answers.labels import labels_document, labels_screen
    from trm_cli.console.output import next_step, note, print_result
    from trm_cli.workflows.classify import classify as classified

    found = classified(run, pictures, top=top, device=device or "auto", notify=note)
    print_result(labels_document(found), labels_screen(found), as_json=as_json)
    if not as_json:
        next_step(("trm", "show-capsules", run, pictures[0], "--out", "capsules.png"))
