"""Before a stream build begins: who may write, what is there already, and the plan that everything else follows."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from dataset_builders.arc_selection import choose_codes
from dataset_builders.arc_symmetry import task_symmetry
from dataset_builders.stream_build import Shard
from dataset_builders.stream_mixture import Mixture
from dataset_builders.stream_sources import SPLITS, ArcSource
from trm_cli.data.augmentation import arc
from trm_cli.data.durable import locked_directory, write_atomically
from trm_cli.data.manifest import MANIFEST_NAME, Manifest, read_manifest, write_manifest
from trm_cli.data.metadata import METADATA_NAME
from trm_cli.data.stream_drawing import AUGMENTATIONS_NAME
from trm_cli.data.stream_plan import FOLDER, chunks_to_json, plan_fingerprint
from trm_cli.errors import DatasetError

IDENTIFIERS_NAME = "identifiers.json"
BLANK = "<blank>"
_LOCK_PATIENCE_SECONDS = 120.0


# ---------------------------------------------------------------- who may write


@contextmanager
def hold(root: Path, shard: Shard | None) -> Iterator[None]:
    """Hold the directory for a build, or for one shard's part of it. Raises DatasetError when somebody else does."""
    if shard is not None:
        # Shards hold a lock each; the directory's own they hold only while they plan.
        with locked_directory(root / FOLDER / shard.tag.strip("_")):
            yield
        return
    with locked_directory(root):
        for path in sorted((root / FOLDER).glob("shard_*_of_*")):
            with locked_directory(path):
                pass
        yield


@contextmanager
def planning(root: Path, shard: Shard | None) -> Iterator[None]:
    """Let one shard at a time plan, for all write the same files; a build without shards holds the directory anyway."""
    if shard is None:
        yield
        return
    until = time.monotonic() + _LOCK_PATIENCE_SECONDS
    while True:
        lock = locked_directory(root)
        try:
            lock.__enter__()
            break
        except DatasetError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


# ---------------------------------------------------------------- what is there already


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
    for name in (IDENTIFIERS_NAME, AUGMENTATIONS_NAME):
        (root / name).unlink(missing_ok=True)


# ---------------------------------------------------------------- the plan


def make_manifest(builder: str, mixture: Mixture, flags: Mapping[str, object], batch_records: int) -> Manifest:
    """Return the manifest of a build that has not begun. Its fingerprint is final: it says what will be written."""
    licences = list(dict.fromkeys(source.origin.licence for source in mixture.sources))
    manifest = Manifest(
        builder=builder,
        flags=dict(flags),
        seed=mixture.seed,
        source={"sources": mixture.describe()},
        licence="; ".join(licences),
        planned={
            "records": {split: mixture.count(split) for split in SPLITS},
            "batch_records": batch_records,
            "chunks": chunks_to_json(mixture.chunks(batch_records)),
        },
    )
    content = json.loads(manifest.to_bytes())
    for volatile in ("state", "files", "finished", "fingerprint"):
        del content[volatile]
    # Where something lies is not what it is: a dataset built from the same files elsewhere is the same dataset.
    for source in content["source"]["sources"]:
        del source["location"]
    for path_flag in ("tinystories_path",):
        content["flags"].pop(path_flag, None)
    return replace(manifest, fingerprint=plan_fingerprint(content))


def write_plan(root: Path, mixture: Mixture, manifest: Manifest) -> None:
    """Write what is known before the first record: metadata, identifiers, augmentations; the manifest last."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        (root / split).mkdir(exist_ok=True)
        write_atomically(root / split / METADATA_NAME, mixture.metadata(split).to_bytes())
    groups = [group for source in mixture.sources if isinstance(source, ArcSource) for group in source.groups]
    names = [BLANK]
    if mixture.variants == 1:
        names += [group.id for group in groups]
    elif groups:
        codes = np.zeros((len(groups), mixture.variants), dtype=np.uint32)
        for row, group in zip(codes, groups, strict=True):
            chosen = choose_codes(task_symmetry(group.task), mixture.variants - 1, mixture.seed, group.id)
            row[: len(chosen)] = chosen
            names += _names(group.id, row)
        buffer = io.BytesIO()
        np.save(buffer, codes, allow_pickle=False)
        write_atomically(root / AUGMENTATIONS_NAME, buffer.getvalue())
    write_atomically(root / IDENTIFIERS_NAME, (json.dumps(names, separators=(",", ":")) + "\n").encode())
    # Last: with the manifest there, the plan is whole, and a trainer may begin to wait for the first chunk.
    write_manifest(root, manifest)


def _names(task_id: str, codes: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> list[str]:
    """Return the identifier of each augmentation of a task; the task's own name where there is none."""
    symmetries, permutations = arc.decode(codes)
    return [
        task_id
        if code == 0
        else arc.augmentation_name(task_id, arc.Augmentation(int(symmetry), tuple(int(c) for c in permutation)))
        for code, symmetry, permutation in zip(codes, symmetries, permutations, strict=True)
    ]


def static_files(root: Path) -> list[str]:
    """Return the files that `write_plan` wrote, for the manifest of the finished dataset."""
    names = [f"{split}/{METADATA_NAME}" for split in SPLITS] + [IDENTIFIERS_NAME, AUGMENTATIONS_NAME]
    return [name for name in names if (root / name).is_file()]
