"""Inspect a dataset: its contents, and whether its files are intact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.paths import is_dir

if TYPE_CHECKING:
    from trm_cli.data.inspection import DatasetReport


@dataclass(frozen=True)
class DatasetInspection:
    """A report on a dataset. damaged: files that are missing or modified; None where they were not checked.

    unverified: they should have been, and there is no manifest to compare with.
    """

    directory: Path
    report: DatasetReport
    damaged: list[str] | None
    unverified: bool = False


def inspect_dataset(name: str, *, verify: bool = False) -> DatasetInspection:
    """Inspect a dataset, named by its directory or by its model. verify: check every file. Raises TrmError."""
    from trm_cli.data.files.manifest import verify as find_damaged
    from trm_cli.data.inspection import inspect

    directory = _directory(name)
    report = inspect(directory)
    can_verify = verify and report.manifest is not None
    return DatasetInspection(directory, report, find_damaged(directory) if can_verify else None, verify > can_verify)


def _directory(name: str) -> Path:
    """Return the directory of this name, or that of the model of this name."""
    from trm_cli.config.registry import find

    if is_dir(name) or find("models", name) is None:
        return Path(name)
    from trm_cli.config.compose import compose

    return Path(compose(name).config.data_paths[0])
