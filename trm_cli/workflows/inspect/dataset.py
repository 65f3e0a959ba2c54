"""Inspect a dataset: its contents, and whether its files are intact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import DatasetError
from trm_cli.paths import exists, is_dir

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
    directory = _directory(name)
    if not is_dir(directory):  # before anything that takes seconds to load
        is_file = exists(directory)
        what = f"{directory} is a file; a dataset is a directory" if is_file else f"dataset {directory} does not exist"
        raise DatasetError(what, hint="`trm build-dataset MODEL` builds one")
    from trm_cli.data.files.manifest import verify as find_damaged
    from trm_cli.data.inspection import inspect

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
