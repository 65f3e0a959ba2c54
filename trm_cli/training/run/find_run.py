"""Where a run is: from what a person typed to a run directory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from trm_cli.errors import CheckpointError
from trm_cli.training.run.run_directory import CONFIG

RUNS = Path("checkpoints")


def find_run(named: str | None) -> Path:
    """A run directory: the one named (itself, by its name in checkpoints/, or by a file in it), else the latest one.

    Raises CheckpointError naming the runs that there are.
    """
    if named is None:
        runs = known_runs()
        if not runs:
            raise CheckpointError(f"there is no run in {RUNS}/", hint="`trm train MODEL` starts one")
        return runs[0]
    path = Path(named)
    candidates = [path, RUNS / named, path.parent if path.suffix == ".pt" else path]
    for candidate in candidates:
        if (candidate / CONFIG).is_file():
            return candidate
    if path.is_dir():
        raise CheckpointError(f"{path} is not a run directory: it has no {CONFIG}")
    known = ", ".join(str(run) for run in known_runs()[:5])
    raise CheckpointError(
        f"{named} does not exist", hint=f"runs here: {known}" if known else "`trm train` starts a run"
    )


def known_runs() -> list[Path]:
    """The run directories in checkpoints/, the one written last first."""
    if not RUNS.is_dir():
        return []
    runs = [path for path in RUNS.iterdir() if (path / CONFIG).is_file()]
    return sorted(runs, key=_last_change, reverse=True)


def _last_change(run: Path) -> float:
    newest = 0.0
    for entry in run.iterdir():
        with suppress(FileNotFoundError):  # a run that trains deletes and renames files while we look
            newest = max(newest, entry.lstat().st_mtime)
    return newest
