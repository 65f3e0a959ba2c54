"""Arguments and options that several commands share, and how their words are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.options import completion
from trm_cli.errors import CheckpointError
from trm_cli.paths import exists, from_here, is_dir

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL] [KEY=VALUE]...",
        help="A name in configs/models/ or a YAML file, then settings such as epochs=10 or arch.hidden_size=256.",
        show_default=False,
        autocompletion=completion.model_words,
    ),
]
Architecture = Annotated[
    str | None,
    typer.Option(
        "--arch", help="Use this architecture: arch=NAME.", metavar="NAME", autocompletion=completion.architectures
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="auto, cpu, cuda or mps: device=NAME.",
        metavar="NAME",
        autocompletion=completion.devices,
    ),
]
Processes = Annotated[
    int | None,
    typer.Option("--nproc-per-node", min=1, help="Train in N processes on this machine, one per GPU.", metavar="N"),
]
TrainedRun = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run directory, its name in checkpoints/, or a checkpoint file.",
        autocompletion=completion.runs,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print everything, write nothing.")]
StopAtStep = Annotated[
    int | None, typer.Option(min=1, help="Stop after this step; the schedule stays as it is.", metavar="STEP")
]
Wandb = Annotated[str | None, typer.Option(help="auto, online, offline or disabled: wandb=MODE.", metavar="MODE")]


def finite(value: float) -> float:
    """Refuse inf and nan, which a range lets pass."""
    if not isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def share(value: float | None) -> float | None:
    """Refuse what is no share above 0, up to 1."""
    if value is not None and not 0 < value <= 1:
        raise typer.BadParameter(f"{value} is not in the range 0<x<=1.")
    return value


def split_words(words: Sequence[str] | None) -> tuple[str | None, list[str]]:
    """Split `[MODEL|RUN] [KEY=VALUE ...]` into the word that is no override (or names a file) and the overrides.

    Raises UsageError when there are two such words.
    """
    from trm_cli.errors import UsageError

    given = list(words or ())
    targets = [word for word in given if "=" not in word or exists(word)]
    if len(targets) > 1:
        torn = re.search(r"(\S+) ?= ?(\S+)", " ".join(given)) if any(_torn(word) for word in given) else None
        hint = f"without spaces: `{torn[1]}={torn[2]}`" if torn else _override_meant(targets[1])
        raise UsageError(f"only one MODEL is allowed: found `{targets[0]}` and `{targets[1]}`", hint=hint)
    return (targets[0] if targets else None), [word for word in given if word not in targets]


def _override_meant(word: str) -> str:
    """What a second MODEL may be meant to be."""
    if colon := re.fullmatch(r"([a-z_][\w.]*):(\S+)", word):
        return f"overrides are written with =: `{colon[1]}={colon[2]}`"
    if word.startswith("~"):
        return f"every key always has a value: `{word[1:]}=VALUE`"
    return "overrides look like key=value, such as epochs=10"


def _torn(word: str) -> bool:
    """Whether it is a piece of `key = value`, which a shell hands over as three words."""
    return word.startswith("=") or word.endswith("=")


def with_options(overrides: Sequence[str], **options: str | None) -> list[str]:
    """Append the options that stand for overrides, so that an option wins over an override."""
    return [*overrides, *(OptionWord(key, value) for key, value in options.items() if value is not None)]


class OptionWord(str):
    """`key=value` for an option; `typed` is what messages call it."""

    typed: str

    def __new__(cls, key: str, value: str) -> OptionWord:
        """Make the word of an option whose name ends the key."""
        word = super().__new__(cls, f"{key}={value}")
        word.typed = f"--{key.rpartition('.')[2].replace('_', '-')} {value}"
        return word


def compose_words(words: Sequence[str] | None, **options: str | None) -> Resolved:
    """Resolve the configuration of a command line. Raises ConfigError with every problem at once."""
    from trm_cli.config.compose import compose

    model, overrides = split_words(words)
    return compose(model, with_options(overrides, **options))


def expect_folder(out: Path | None) -> None:
    """Refuse, before the work, a file to write in a folder that is not there. Raises UsageError."""
    from trm_cli.errors import UsageError
    from trm_cli.shell import command_line

    if out is not None and not is_dir(out.parent):
        hint = f"`{command_line('mkdir', '-p', out.parent)}` makes it"
        raise UsageError(f"--out {out}: the directory {out.parent} does not exist", hint=hint)


def expect_run(run: str | None, device: str | None = None) -> None:
    """Find what is named before torch is loaded, which takes seconds; a terminal is told of these.

    Raises CheckpointError where there is no such run, UsageError where there is no such device.
    """
    from trm_cli.console.output import note, stderr
    from trm_cli.training.hardware.devices import expect_device
    from trm_cli.training.run.find_run import find_checkpoint

    found = find_checkpoint(run)
    expect_device(device or "auto")
    if stderr().is_terminal:
        note(f"loading {from_here(found)} ...")


def suggest_evaluation(run: str | Path) -> None:
    """Print `trm evaluate RUN` as the next step, where it can be evaluated: without a run there is no dataset."""
    from trm_cli.console.output import next_step
    from trm_cli.training.run.find_run import find_run

    try:
        find_run(str(run))
    except CheckpointError:
        next_step(("trm", "demo", run))
    else:
        next_step(("trm", "evaluate", run))


def model_meant(words: Sequence[str], message: str) -> str:
    """What MODEL in a hint is: the model on the command line, else the one whose dataset a message names; or ""."""
    from trm_cli.config import registry
    from trm_cli.config.sources.yaml_loader import load_yaml
    from trm_cli.shell import quote

    for word in words[1:]:
        if "=" not in word and not word.startswith("-") and registry.find("models", word) is not None:
            return quote(word)
    for name in registry.names("models"):
        path = registry.find("models", name)
        arguments = load_yaml(path).data.get("dataset_args") if path is not None else None
        directory = arguments.get("output_dir") if isinstance(arguments, dict) else None
        if isinstance(directory, str) and re.search(rf"{re.escape(directory)}(?![\w-])", message):
            return name
    return ""
