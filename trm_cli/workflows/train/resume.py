"""Load the configuration of a run that is to be resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trm_cli.config.compose import Resolved
from trm_cli.config.dump import override
from trm_cli.errors import UsageError
from trm_cli.shell import command_line
from trm_cli.training.checkpoint.pointers import follow
from trm_cli.training.run.find_run import find_run
from trm_cli.training.run.run_directory import RunDirectory
from trm_cli.training.run.sealed_config import load_run


@dataclass(frozen=True)
class ResumedRun:
    """The configuration of a run.

    moved: data paths that were relative to another working directory, by key, as seen from this one.
    """

    resolved: Resolved
    moved: dict[str, list[str]]


def load_resumed(
    named: str | None,
    overrides: Sequence[str] = (),
    *,
    from_step: int | None = None,
    extend_epochs: int | None = None,
) -> ResumedRun:
    """Load the configuration that is sealed in a run (default: the latest run) and apply `overrides`. Raises TrmError.

    from_step: the step from which the run will continue; only with it may a checkpoint file be named. extend_epochs:
    all epochs of the run, more than it has.
    """
    run = find_run(named)
    if named is not None and Path(named).suffix == ".pt" and from_step is None:
        step = follow(Path(named)).stem.removeprefix("step_").lstrip("0")
        older = command_line("trm", "resume", run, "--from", step if step.isdecimal() else "STEP")
        raise UsageError(
            f"{named} is a checkpoint of {run}; a run continues from its newest checkpoint",
            hint=f"{older} continues from that one",
        )
    if from_step is not None:
        RunDirectory(run).store().require_step(from_step)
    if extend_epochs is not None:
        planned = load_run(run).config.epochs
        if extend_epochs <= planned:
            more = command_line("trm", "resume", run, "--extend-epochs", planned + extend_epochs)
            raise UsageError(
                f"--extend-epochs {extend_epochs}: the run has {planned:,} epochs, and the option counts all of them",
                hint=f"{extend_epochs} more: {more}",
            )
        overrides = [*overrides, override("epochs", extend_epochs)]
    moved = _moved_data(run, overrides)
    words = [f"{key}={json.dumps(paths)}" for key, paths in moved.items()]
    # The run is where it was found, wherever it was when it was started.
    return ResumedRun(load_run(run, [*words, *overrides, override("checkpoint_path", str(Path(run)))]), moved)


def _moved_data(run: Path, overrides: Sequence[str]) -> dict[str, list[str]]:
    config = load_run(run).config
    moved = {}
    for key, paths in (("data_paths", config.data_paths), ("data_paths_test", config.data_paths_test)):
        found = RunDirectory(run).elsewhere(paths)
        if found is not None and not any(word.startswith(f"{key}=") for word in overrides):
            moved[key] = list(found)
    return moved
