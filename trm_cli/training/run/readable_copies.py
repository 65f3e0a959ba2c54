"""Compare the readable files of a run with what is sealed in its newest checkpoint: they are for people, never used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trm_cli.config.compose import Resolved, load_run_config
from trm_cli.config.dump import override, scalar
from trm_cli.errors import CheckpointError, ConfigError, TrmError
from trm_cli.shell import command_line, quote
from trm_cli.training.run.config_drift import Difference, differences, table
from trm_cli.training.run.sealed_config import Sealed, newest_sealed, stored_plan
from trm_cli.training.run_files import CONFIG, IDENTITY, PLAN, read_identity

Notify = Callable[[str], None]


def check_copies(run: Path, notify: Notify, used: Resolved | None = None) -> None:
    """Compare the readable copies in a run directory with what is sealed in its newest checkpoint.

    used: the settings that the command uses; what they or its overrides decide is settled. Differences in free keys are
    told to `notify`. Raises CheckpointError for others, with the words that would make them so.
    """
    newest = newest_sealed(run, verified=False)
    if newest is None:
        return
    sealed_in = f"what is sealed in {newest.checkpoint.name} is used"
    _check_identity(run, newest)
    copy = run / CONFIG
    if not copy.is_file():
        notify(f"{copy} is missing: {sealed_in}")
        return
    try:
        said = load_run_config(copy).config
    except TrmError as error:
        problem = error.problems[0].message if isinstance(error, ConfigError) else error.message
        notify(f"{copy} is damaged: {problem}; {sealed_in}")
        return
    found = differences(newest.config, said)
    _require_harmless(run, [one for one in found if not _settled(one, used)], notify)
    plan = stored_plan(run)
    if not found and (plan is None or plan.fingerprint() != newest.summary.get("plan")):
        notify(f"{run / PLAN} is not the plan that is sealed in {newest.checkpoint.name}: it is not used")


def _settled(difference: Difference, used: Resolved | None) -> bool:
    """Whether a difference does not matter: the run is where it was found, and what was typed is used."""
    if difference.key == "checkpoint_path":
        return True
    if used is None:
        return False
    typed = {word.partition("=")[0].lstrip("+") for word in used.overrides}
    value: Any = used.config
    for name in difference.key.split("."):
        value = getattr(value, name, None)
    return difference.key in typed or value == difference.now


def _require_harmless(run: Path, found: Sequence[Difference], notify: Notify) -> None:
    if all(one.resume == "free" for one in found):
        for one in found:
            word = command_line("trm", "resume", run, override(one.key, one.now))
            notify(
                f"{run / CONFIG} says {one.key}={scalar(one.now)}, the run has {one.key}={scalar(one.before)}, which "
                f"is used; `{word}` would change it"
            )
        return
    words = command_line(*(override(one.key, one.now) for one in found))
    if any(one.resume == "fatal" for one in found):
        change = f"another run has these settings: `trm train MODEL {words} checkpoint_path=checkpoints/NAME`"
    else:
        change = f"`trm resume {quote(run)} {words} --replan` makes the change"
    raise CheckpointError(
        f"{run / CONFIG} was changed after the run was saved\n{table(found, ('key', 'sealed', CONFIG, 'effect'))}",
        hint=f"{change}; `rm {quote(run / CONFIG)}` keeps what is sealed",
    )


def _check_identity(run: Path, newest: Sealed) -> None:
    """Raise CheckpointError where run.json differs from the checkpoint: nobody changes it on purpose."""
    if not (run / IDENTITY).is_file():
        return
    identity = read_identity(run)
    for key, value in identity.items():
        if value != newest.summary.get(key):
            raise CheckpointError(
                f"{run / IDENTITY} was changed: its `{key}` is not what is sealed in {newest.checkpoint.name}",
                hint=f"restore {run / IDENTITY} from a backup",
            )
