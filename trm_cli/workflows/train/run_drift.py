"""Compare the settings of an existing run with those it is to continue with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import CheckpointError, ConfigError
from trm_cli.shell import command_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from trm_cli.config.compose import Resolved


def check_drift(resolved: Resolved, notify: Callable[[str], None], *, replan: bool) -> None:
    """Compare the configuration with that sealed in the run. Raises CheckpointError where it must not change.

    What the readable copy says is never used; where it differs in free keys, `notify` hears of it.
    """
    from trm_cli.training.run.config_drift import differences, table
    from trm_cli.training.run.readable_copies import check_copies
    from trm_cli.training.run.sealed_config import load_run
    from trm_cli.training.run_files import CONFIG, is_run

    run = Path(resolved.config.checkpoint_path)
    if not is_run(run):
        return
    check_copies(run, notify, resolved)
    try:
        before = load_run(run).config
    except ConfigError as error:  # of a run that has no checkpoint yet
        raise CheckpointError(f"{run / CONFIG} is damaged: {error.problems[0].message}") from error
    found = differences(before, resolved.config)
    grave = [difference for difference in found if difference.resume != "free"]
    if all(difference.resume == "replan" for difference in grave) and (replan or not grave):
        return
    model = resolved.config.model if resolved.registry is None else resolved.registry.word
    compare = command_line("trm", "inspect-schedule", model, *resolved.overrides, "--compare", run)
    raise CheckpointError(
        f"the run in {run} used other settings\n{table(found, ('key', 'run', 'now', 'effect'))}",
        hint=(
            "a run directory of its own (checkpoint_path=checkpoints/NAME), or --fresh to give this one up"
            if any(difference.resume == "fatal" for difference in found)
            else f"add --replan to accept the new plan (compare first: {compare})"
        ),
    )
