"""`trm inspect-model`: show the components of a network, the cost of an update, and where it fits."""

from __future__ import annotations

from typing import Annotated

import typer

from trm_cli.commands.options import completion
from trm_cli.commands.options.arguments import Json


def inspect_model(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ARCH|MODEL|RUN] [KEY=VALUE]...",
            autocompletion=completion.model_words,
            help="An architecture, a model or a run; then settings such as arch.hidden_size=256.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=1_048_576, help="Rows of an update; default: as configured.", metavar="N")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16; default: as training chooses it here.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Take the sizes of rows from this dataset.", metavar="DIR")] = None,
    as_json: Json = False,
) -> None:
    """Show a network by component: parameters, operations, memory; and whether it fits a 15 GB GPU and this machine.

    [dim]Example: trm inspect-model multimodal_hesc --batch-size 32 --precision float16[/dim]
    """
    from trm_cli.commands.options.arguments import split_words
    from trm_cli.console.output import next_step, note, print_result
    from trm_cli.console.views.model import model_document, model_screen
    from trm_cli.workflows.inspect import model

    named, overrides = split_words(words)
    found = model.inspect_model(named, overrides, batch_size=batch_size, precision=precision, data=data, notify=note)
    print_result(model_document(found), model_screen(found), as_json=as_json)
    if not as_json:
        next_step(("trm", *found.leads_to))
