"""Compare the settings of an existing run with those it is to continue with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import CheckpointError, ConfigError
from trm_cli.paths import exists

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trm_cli.config.compose import Resolved
    from trm_cli.training.run.config_drift import Difference


def check_drift(resolved: Resolved, *, replan: bool) -> None:
    """Compare the configuration with that of the existing run. Raises CheckpointError where it must not change."""
    from trm_cli.config.compose import load_run_config
    from trm_cli.training.run.config_drift import differences
    from trm_cli.training.run_files import CONFIG

    stored = Path(resolved.config.checkpoint_path) / CONFIG
    if not exists(stored):
        return
    try:
        before = load_run_config(stored).config
    except ConfigError as error:
        raise CheckpointError(f"{stored} is damaged: {error.problems[0].message}") from error
    found = differences(before, resolved.config)
    grave = [difference for difference in found if difference.resume != "free"]
    if all(difference.resume == "replan" for difference in grave) and (replan or not grave):
        return
    raise CheckpointError(
        f"the run in {stored.parent} used other settings\n{_table(found)}",
        hint=(
            "a run directory of its own (checkpoint_path=checkpoints/NAME), or --fresh to give this one up"
            if any(difference.resume == "fatal" for difference in found)
            else f"add --replan to accept the new plan (compare first: trm inspect-schedule --compare {stored.parent})"
        ),
    )


def _table(found: Sequence[Difference]) -> str:
    """Format the differences as an aligned table."""
    rows = [("key", "run", "now", "effect")]
    rows += [(one.key, str(one.before), str(one.now), one.effect) for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )
