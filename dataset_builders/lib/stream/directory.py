"""Inspect the directory of a stream build for what an earlier build left there. Standard library only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from trm_cli.data.files.manifest import MANIFEST_NAME, Manifest, read_manifest
from trm_cli.data.files.metadata import SPLITS
from trm_cli.data.stream.shape import STREAM_VERSION
from trm_cli.data.stream.storage.plan import AUGMENTATIONS_NAME, DEMONSTRATIONS_NAME, FOLDER
from trm_cli.errors import DatasetError

IDENTIFIERS_NAME = "identifiers.json"


def previous_build(root: Path, builder: str, flags: Mapping[str, object], seed: int) -> Manifest | None:
    """Return the manifest of an earlier build with the same flags; None in an empty directory.

    Raises DatasetError for a build with other flags, and for a dataset of another program.
    """
    previous = read_manifest(root)
    if previous is None:
        if any((root / split).exists() for split in SPLITS):
            raise DatasetError(
                f"{root} holds a dataset of another program; it is not overwritten", hint="choose another --output-dir"
            )
        return None
    if previous.builder == builder and previous.builder_version != STREAM_VERSION:
        raise DatasetError(
            f"{root} holds a stream dataset of format {previous.builder_version}; this version of trm builds format "
            f"{STREAM_VERSION}",
            hint="--rebuild replaces it",
        )
    old = {**previous.flags, "builder": previous.builder, "seed": previous.seed}
    new = {**flags, "builder": builder, "seed": seed}
    different = [
        f"{key} {json.dumps(old.get(key))} there, {json.dumps(new.get(key))} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    if different:
        raise DatasetError(
            f"{root} holds a dataset with other settings: {'; '.join(different)}",
            hint="choose another --output-dir, or --rebuild to replace it",
        )
    return previous


def remove_previous(root: Path, builder: str) -> None:
    """Remove an earlier build of `builder`; its manifest first, without which nothing there looks like a dataset."""
    try:
        previous = read_manifest(root)
    except DatasetError:
        # Damaged beyond reading is a good reason to build again.
        previous = None if not (root / FOLDER).is_dir() else Manifest(builder, {}, 0, {}, "")
    if previous is None or previous.builder != builder:
        return
    (root / MANIFEST_NAME).unlink()
    for name in (FOLDER, *SPLITS):
        shutil.rmtree(root / name, ignore_errors=True)
    for name in (IDENTIFIERS_NAME, AUGMENTATIONS_NAME, DEMONSTRATIONS_NAME):
        (root / name).unlink(missing_ok=True)


def clean_up(root: Path, manifest: Manifest) -> None:
    """Remove what a finished dataset does not need; the directory then depends on nothing but the plan."""
    for path in (root / FOLDER).iterdir():
        if f"{FOLDER}/{path.name}" not in manifest.files:
            if path.is_dir():
                for inner in path.iterdir():
                    inner.unlink(missing_ok=True)
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
