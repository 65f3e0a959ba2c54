"""`trm inspect-model`: what a network is made of, what an update costs, and where it fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.arguments import Json

if TYPE_CHECKING:
    from trm_cli.config.schema import RunConfig
    from trm_cli.console.views.model import Verdict
    from trm_cli.workflows.model_report import ModelReport, Rows

_PRECISIONS = ("float32", "bfloat16", "float16")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect-model")(inspect_model)


def inspect_model(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ARCH|MODEL|RUN] [KEY=VALUE]...",
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
    json: Json = False,
) -> None:
    """Show a network by component: parameters, arithmetic, memory; and whether it fits a 15 GB card and this machine.

    [dim]Example: trm inspect-model multimodal_hesc --batch-size 32 --precision float16[/dim]
    """
    from trm_cli.console.output import note, print_json, stdout
    from trm_cli.console.views.model import model_document, model_screen
    from trm_cli.errors import UsageError
    from trm_cli.training.hardware.devices import prepare_threads

    if precision is not None and precision not in _PRECISIONS:
        raise UsageError(f"--precision is {precision!r}; expected {', '.join(_PRECISIONS)}")
    name, config = _config(words)
    prepare_threads()
    note(f"measuring one update of {name} without computing it ...")
    from trm_cli.training.hardware.devices import choose_device, choose_precision
    from trm_cli.workflows.model_report import report, rows_of

    rows, batch = rows_of(config, data), batch_size or config.global_batch_size
    device = choose_device(config.device).value
    chosen = precision or choose_precision(config.precision, device).value
    made = report(config, rows, batch, chosen)
    verdicts = _verdicts(config, rows, made, device, precision)
    if json:
        print_json(model_document(name, made, verdicts))
    else:
        stdout().print(model_screen(name, made, verdicts))


def _config(words: list[str] | None) -> tuple[str, RunConfig]:
    """What was named: a run, a model (also by its file), or an architecture."""
    from trm_cli.commands.arguments import split_words
    from trm_cli.config import registry
    from trm_cli.config.compose import compose, load_run_config

    named, overrides = split_words(words)
    if named is not None and (Path(named) / "config.yaml").is_file():
        return named, load_run_config(Path(named), overrides).config
    is_model = named is not None and registry.find("models", named) is not None
    if named is not None and not is_model:
        near = registry.nearest(named, registry.names("arch"))
        if registry.find("arch", named) is not None or (near and not registry.nearest(named, registry.names("models"))):
            return named, compose(None, [f"arch={named}", *overrides]).config  # which names the nearest architecture
    config = compose(named, overrides).config
    return named or config.model, config


def _verdicts(config: RunConfig, rows: Rows, made: ModelReport, device: str, asked: str | None) -> list[Verdict]:
    """On a 15 GB card, which would compute in float16 unless something else is asked for, and here."""
    from trm_cli.console.views.model import Verdict
    from trm_cli.training.hardware.resources import cards, memory_bytes
    from trm_cli.workflows.model_report import T4_BYTES, report

    def judge(machine: str, of: ModelReport, room: int) -> Verdict:
        return Verdict(machine, of.precision, room, of.memory.total, of.memory.largest_batch(of.batch_size, room))

    on_t4 = made if asked or made.precision == "float16" else report(config, rows, made.batch_size, "float16")
    verdicts = [judge("a T4 with 15 GB", on_t4, T4_BYTES)]
    if device == "cuda":
        card = cards()[0]
        verdicts.append(judge(f"this {card.name}", made, card.memory))
    elif (memory := memory_bytes()) is not None:
        verdicts.append(judge("this machine", made, memory))
    return verdicts
