"""Inspect a dataset: its contents, and whether its files are intact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.addresses import is_address, local_location
from trm_cli.errors import DatasetError
from trm_cli.paths import exists, is_dir, mistyped_path

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


@dataclass(frozen=True)
class ShardState:
    """A part of a build that is not joined yet (`shard 0/3`), or a file of a dataset, and its state."""

    name: str
    state: str
    bytes: int


def inspect_shards(name: str) -> list[ShardState]:
    """The parts of a build, or the files of a complete dataset, each read and compared. Raises DatasetError."""
    from trm_cli.data.building.build_directory import PARTS_NAME
    from trm_cli.data.building.build_shards import shard_states
    from trm_cli.data.files.manifest import read_manifest, verify
    from trm_cli.data.stream.storage.plan import FOLDER

    directory = _directory(name)
    manifest = read_manifest(directory)
    if manifest is None:
        raise DatasetError(
            f"{directory} has no manifest.json: nothing says what belongs to it", hint="`trm build-dataset MODEL`"
        )
    if manifest.state != "complete":
        states = {**shard_states(directory / PARTS_NAME), **shard_states(directory / FOLDER)}
        return [ShardState(f"shard {shard}", state, 0) for shard, state in states.items()]
    damaged = set(verify(directory))
    return [
        ShardState(file, _state(directory / file, damaged=file in damaged), record.size)
        for file, record in manifest.files.items()
    ]


def _state(path: Path, *, damaged: bool) -> str:
    return "missing" if not exists(path) else "damaged" if damaged else "intact"


def inspect_dataset(name: str, *, verify: bool = False) -> DatasetInspection:
    """Inspect a dataset, named by its directory or by its model. verify: check every file. Raises TrmError."""
    directory = _directory(name)
    if not is_dir(directory):  # before anything that takes seconds to load
        is_a_file = exists(directory)
        what = (
            f"{directory} is a file; a dataset is a directory" if is_a_file else f"dataset {directory} does not exist"
        )
        raise DatasetError(what, hint=mistyped_path(name) or "`trm build-dataset MODEL` builds one")
    from trm_cli.data.files.manifest import verify as find_damaged
    from trm_cli.data.inspection import inspect

    report = inspect(directory)
    can_verify = verify and report.manifest is not None
    return DatasetInspection(
        directory, report, find_damaged(directory) if can_verify else None, verify and not can_verify
    )


def _directory(name: str) -> Path:
    """Return the directory of this name, or that of the model of this name."""
    from trm_cli.config.registry import find

    if is_address(name):
        return _copy_of(name)
    if is_dir(name) or find("models", name) is None:
        return Path(name)
    from trm_cli.config.compose import compose

    return Path(compose(name).config.data_paths[0])


def _copy_of(address: str) -> Path:
    from trm_cli.data.files.remote_dataset import fetch

    if not fetch(address, lambda _: None):
        raise DatasetError(
            f"{address} holds no complete dataset: there is no manifest.json that says so",
            hint="the command that builds it continues where it was stopped",
        )
    return Path(local_location(address))
