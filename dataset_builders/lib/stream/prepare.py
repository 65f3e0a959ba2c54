"""Make and write the plan of a stream build, before its first record."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from trm_cli.data.arc import transforms
from trm_cli.data.files.durable import atomic_file, write_atomically
from trm_cli.data.files.manifest import Manifest, write_manifest
from trm_cli.data.files.metadata import METADATA_NAME, SPLITS
from trm_cli.data.stream.shape import STREAM_VERSION
from trm_cli.data.stream.storage.plan import (
    AUGMENTATIONS_NAME,
    DEMONSTRATIONS_NAME,
    FOLDER,
    chunks_to_json,
    plan_fingerprint,
)

from ..arc.selection import choose_codes
from ..arc.symmetry import task_symmetry
from ..limits import Limits
from .directory import IDENTIFIERS_NAME
from .mixture import Mixture

BLANK = "<blank>"


def make_manifest(
    builder: str, mixture: Mixture, flags: Mapping[str, object], batch_records: int, limits: Limits
) -> Manifest:
    """Return the manifest of a build that has not begun. Its fingerprint is final: it says what will be written."""
    licences = list(dict.fromkeys(source.origin.licence for source in mixture.sources))
    manifest = Manifest(
        builder=builder,
        flags=dict(flags),
        seed=mixture.seed,
        source={"sources": mixture.describe()},
        licence="; ".join(licences),
        builder_version=STREAM_VERSION,
        planned={
            "records": {split: mixture.count(split) for split in SPLITS},
            "kinds": {split: mixture.kinds(split) for split in SPLITS},
            "batch_records": batch_records,
            "chunks": chunks_to_json(mixture.chunks(batch_records)),
            **limits.planned(),
        },
    )
    content = json.loads(manifest.to_bytes())
    for volatile in ("state", "files", "finished", "fingerprint"):
        del content[volatile]
    # What was left out is no part of the dataset.
    content["planned"].pop("limits", None)
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
    groups = [group for source in mixture.tasks for group in source.groups]
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
    if mixture.shape.demonstrations:
        from trm_cli.data.stream.storage.shards import pack, write_arrays

        with atomic_file(root / DEMONSTRATIONS_NAME) as stream:
            write_arrays(stream, pack(list(mixture.shown_pairs()), 0, 0))
    write_atomically(root / IDENTIFIERS_NAME, (json.dumps(names, separators=(",", ":")) + "\n").encode())
    # Last: with the manifest there, the plan is whole, and a trainer may begin to wait for the first chunk.
    write_manifest(root, manifest)


def _names(task_id: str, codes: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> list[str]:
    """Return the identifier of each augmentation of a task; the task's own name where there is none."""
    symmetries, permutations = transforms.decode(codes)
    return [
        task_id
        if code == 0
        else transforms.transform_name(task_id, transforms.Transform(int(symmetry), tuple(int(c) for c in permutation)))
        for code, symmetry, permutation in zip(codes, symmetries, permutations, strict=True)
    ]


def static_files(root: Path) -> list[str]:
    """Return the files that `write_plan` wrote, for the manifest of the finished dataset."""
    names = [f"{split}/{METADATA_NAME}" for split in SPLITS] + [IDENTIFIERS_NAME, AUGMENTATIONS_NAME]
    names.append(DEMONSTRATIONS_NAME)
    return [name for name in names if (root / name).is_file()]
