"""Groups of runs that differ by their training seed alone: the runs `seed-N` in one directory."""

from __future__ import annotations

import re
from pathlib import Path

from trm_cli.paths import is_dir
from trm_cli.training.run_files import RUNS, is_run

_MEMBER = re.compile(r"seed-(\d+)")


def member(group: Path, seed: int) -> Path:
    """The directory of the run with this seed."""
    return group / f"seed-{seed}"


def members(group: Path) -> list[Path]:
    """The runs of a group by their seeds; none where the directory is a run itself, or no group."""
    if not is_dir(group) or is_run(group):
        return []
    found = [(int(name[1]), path) for path in group.iterdir() if (name := _MEMBER.fullmatch(path.name))]
    return [path for _, path in sorted(found) if is_run(path)]


def find_group(named: str | None) -> list[Path]:
    """The runs of the group that a user names by its path or its name in checkpoints/; none where it is no group."""
    if named is None:
        return []
    return members(Path(named)) or members(RUNS / named)
