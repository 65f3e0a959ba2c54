"""Find a run directory, or a checkpoint file, from the name that a user typed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from trm_cli.config import registry
from trm_cli.errors import CheckpointError
from trm_cli.paths import exists, is_dir, mistyped_path
from trm_cli.shell import command_line, quote
from trm_cli.training.checkpoint.exported_weights import SUFFIX
from trm_cli.training.checkpoint.pointers import follow
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.hub import HUB
from trm_cli.training.run.published import find_published
from trm_cli.training.run_files import BEST, CONFIG, LATEST, RUNS, WEIGHTS, is_published, is_run


def find_run(named: str | None) -> Path:
    """Find a run directory: a path, a name in checkpoints/, or that of a checkpoint file; None: the one changed last.

    Raises CheckpointError, which lists the known runs.
    """
    if named is None:
        runs = known_runs()
        if not runs:
            raise CheckpointError(f"no runs in {RUNS}/", hint="`trm quickstart` trains one in a few minutes")
        return runs[0]
    if named.startswith(HUB):
        raise CheckpointError(f"{named} has weights and no run", hint=f"init_from={named} begins a run with them")
    path = Path(named)
    candidates = [path, RUNS / named, path.parent if path.suffix == ".pt" else path]
    for candidate in candidates:
        if is_run(candidate):
            return candidate
        if is_published(candidate):
            hint = f"{quote(f'init_from={candidate}')} begins a run with them"
            raise CheckpointError(f"{candidate} is a published model: it has weights and no run", hint=hint)
    known = ", ".join(str(run) for run in known_runs()[:5])
    hint = f"runs here: {known}" if known else "`trm quickstart` trains one in a few minutes"
    if path.name in registry.names("models"):
        hint = f"`trm train {path.name}` trains it" + (f"; {hint}" if known else "")
    hint = mistyped_path(named) or hint
    if is_dir(path):
        raise CheckpointError(f"{path} is not a run directory: it has no {CONFIG}", hint=hint)
    if exists(path):
        raise CheckpointError(f"{path} is a file; a run is a directory, a checkpoint a .pt file", hint=hint)
    raise CheckpointError(f"there is no run {named}", hint=hint)


def find_checkpoint(named: str | None) -> Path:
    """Find a checkpoint file: the one that is named, the best (else the newest) of a run, or a published model's.

    A published model is a folder, one that comes with the program (`pretrained/NAME`), or one on the hub
    (`hf:OWNER/NAME`), which is downloaded. Raises TrmError.
    """
    if named is not None and (folder := find_published(named)) is not None:
        return folder / WEIGHTS
    if named is not None and Path(named).suffix in (".pt", SUFFIX):
        path = Path(named)
        if not os.path.lexists(path):
            listed = f"`{command_line('trm', 'checkpoints', 'list', path.parent)}` lists those that there are"
            raise CheckpointError(f"there is no file {path}", hint=listed if is_run(path.parent) else None)
        return follow(path) if path.suffix == ".pt" else path  # the hub's cache links to files without an ending
    run = find_run(named)
    store = CheckpointStore(run)
    for pointer in (BEST, LATEST):
        path = follow(run / pointer)
        if exists(path):
            return path
    steps = store.steps()
    if not steps:
        from trm_cli.training.run.start_command import start_command  # which composes the model of the run

        raise CheckpointError(
            f"{run} has no checkpoint yet", hint=f"`{start_command(run)}` trains it; it writes one at every evaluation"
        )
    return store.path(steps[-1])


def find_weights(named: str) -> Path:
    """The file of `init_from` or `load_checkpoint`: a path as it is, or the weights of a published model."""
    folder = find_published(named)
    return Path(named) if folder is None else folder / WEIGHTS


def known_runs() -> list[Path]:
    """The run directories in checkpoints/, the one changed last first."""
    if not is_dir(RUNS):
        return []
    runs = [path for path in RUNS.iterdir() if is_run(path)]
    return sorted(runs, key=_last_change, reverse=True)


def _last_change(run: Path) -> float:
    newest = 0.0
    for entry in run.iterdir():
        with suppress(FileNotFoundError):  # a run that trains deletes and renames files while we look
            newest = max(newest, entry.lstat().st_mtime)
    return newest
