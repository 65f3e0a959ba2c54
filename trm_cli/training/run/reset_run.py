"""Delete the files of a run, and nothing else that may be in its directory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.run.run_directory import RunDirectory
from trm_cli.training.run_files import (
    BEST,
    CONFIG,
    DAMAGED_LINES,
    EVALUATIONS,
    IDENTITY,
    LATEST,
    METRICS,
    NONFINITE,
    OLD_ESTIMATE,
    PLAN,
    PROFILE,
    PROFILE_OPERATORS,
    PROFILE_TRACE,
    TIMINGS,
)


def clear_run(directory: Path) -> int:
    """Delete the files of the run in `directory`; returns how many there were. Other files stay.

    Raises CheckpointError while another process trains the run.
    """
    if not directory.is_dir():
        return 0
    store = CheckpointStore(directory)
    with RunDirectory(directory).held():
        # config.yaml and run.json first: without them the directory is no run, whatever interrupts the rest.
        files = [directory / name for name in (CONFIG, IDENTITY, LATEST, BEST, PLAN, OLD_ESTIMATE, METRICS, TIMINGS)]
        files += [directory / PROFILE / name for name in (PROFILE_TRACE, PROFILE_OPERATORS)]
        files += [store.path(step) for step in store.steps()] + sorted(
            [*directory.glob(NONFINITE), *directory.glob(DAMAGED_LINES)]
        )
        # Evaluations of weights that are gone: a report would show them as those of the next run.
        folders = [*(directory / EVALUATIONS).glob("step-*-*")]
        files += [folder / name for folder in folders for name in ("result.json", "submission.json")]
        present = [path for path in files if path.is_symlink() or path.exists()]
        for path in present:
            path.unlink()
        for folder in folders:
            with suppress(OSError):  # something else lies there
                folder.rmdir()
        store.delete_unlisted_shards()  # no checkpoint lists them any more
    return len(present)
