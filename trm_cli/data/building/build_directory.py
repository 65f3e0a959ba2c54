"""Manage the directory of a resumable build: its lock, its finished part files, and the manifest written at the end.

Standard library only.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from trm_cli.data.building.build_shards import BuildShard, alone, hold, note_end, shards_at_work
from trm_cli.data.files.manifest import MANIFEST_NAME, Manifest, check_complete, read_manifest, seal, write_manifest
from trm_cli.data.files.metadata import SPLITS
from trm_cli.errors import DatasetError
from trm_cli.paths import exists

PARTS_NAME = ".build"
_log = logging.getLogger(__name__)


class Build:
    """A directory that this process has locked, with its manifest. `complete`: there is nothing left to do.

    With a `shard` only its own parts are made, beside other shards; a `merge` makes none of those.
    """

    def __init__(self, root: Path, manifest: Manifest, shard: BuildShard | None = None, merge: bool = False) -> None:
        self.root = root
        self.manifest = manifest
        self.shard = shard
        self.merge = merge

    @property
    def complete(self) -> bool:
        """Return whether the same flags were built to the end before."""
        return self.manifest.state == "complete"

    @property
    def parts(self) -> Path:
        """Return the directory for finished parts of an unfinished build."""
        return self.root / PARTS_NAME

    def alone(self) -> AbstractContextManager[None]:
        """Hold the directory for what only one shard at a time may do."""
        return nullcontext() if self.shard is None else alone(self.root)

    def end_shard(self) -> None:
        """Record that this shard has written all of its parts."""
        assert self.shard is not None
        note_end(self.parts, self.shard)
        print(f"{self.root}: shard {self.shard} is done; --merge joins all shards", file=sys.stderr)

    def finish(self, names: Sequence[str], finished: Mapping[str, object]) -> None:
        """Seal the manifest over `names` (relative to the root), then remove the parts.

        In this order: parts removed first and then a kill would mean building them again.
        """
        self.manifest = seal(self.root, self.manifest, list(names), finished)
        shutil.rmtree(self.parts, ignore_errors=True)


@contextmanager
def open_build(
    root: Path,
    manifest: Manifest,
    *,
    rebuild: bool,
    shard: BuildShard | None = None,
    merge: bool = False,
) -> Iterator[Build]:
    """Hold `root` and begin, continue or recognise as complete the build that `manifest` describes.

    With a `shard` other shards may work beside this one, and the block may only make parts. Raises DatasetError when
    another process builds there, when the directory holds a build with other flags, or when it holds a dataset that no
    builder of this project wrote (which --rebuild does not remove either).
    """
    with hold(root, root / PARTS_NAME, shard) as let_others_in:
        if not exists(root / MANIFEST_NAME) and any(exists(root / split) for split in SPLITS):
            raise DatasetError(
                f"{root} holds a dataset of another program; it is not overwritten", hint="choose another --output-dir"
            )
        if rebuild:
            _start_again(root, manifest)
        existing = read_manifest(root)
        if existing is None or _nothing_lost(root, existing):
            write_manifest(root, manifest)
            existing = manifest
        _require_same(root, existing, manifest)
        _log.info("%s is %s, by %s with %s", root, existing.state, existing.builder, existing.flags)
        build = Build(root, existing, shard, merge)
        if build.complete:
            check_complete(root, existing)
            # Left behind when the process was killed after sealing.
            shutil.rmtree(build.parts, ignore_errors=True)
            print(f"{root} is complete, nothing to do", file=sys.stderr)
        else:
            build.parts.mkdir(exist_ok=True)
            let_others_in()
        yield build


def _start_again(root: Path, manifest: Manifest) -> None:
    """Remove a previous build, so that a kill in between leaves nothing that looks complete or has other flags."""
    # Before the new manifest: parts of other flags under the new manifest would be taken for its own.
    shutil.rmtree(root / PARTS_NAME, ignore_errors=True)
    # Before the products: until they are gone the manifest must not call them complete.
    write_manifest(root, manifest)
    for split in SPLITS:
        shutil.rmtree(root / split, ignore_errors=True)


def _nothing_lost(root: Path, existing: Manifest) -> bool:
    """Return whether an unfinished build has finished nothing yet (wrong flags, say), so that any other may begin."""
    parts = root / PARTS_NAME
    leftovers = [path for path in parts.glob("*") if not path.name.startswith("shard_")]
    leftovers += [root / split for split in SPLITS if exists(root / split)]
    return existing.state != "complete" and not leftovers and not shards_at_work(parts)


def _require_same(root: Path, existing: Manifest, wanted: Manifest) -> None:
    keys = ("builder", "builder_version", "seed", "source")
    old = {**{key: getattr(existing, key) for key in keys}, **existing.flags}
    new = {**{key: getattr(wanted, key) for key in keys}, **wanted.flags}
    # Through JSON, because what was read has lists where what is wanted may have tuples.
    different = [
        f"{key} {json.dumps(old.get(key))} there, {json.dumps(new.get(key))} now"
        for key in sorted({*old, *new})
        if json.dumps(old.get(key), sort_keys=True) != json.dumps(new.get(key), sort_keys=True)
    ]
    if different:
        what = "a dataset" if existing.state == "complete" else "an unfinished build"
        raise DatasetError(
            f"{root} holds {what} with other settings: {'; '.join(different)}",
            hint="choose another --output-dir, or --rebuild to replace it",
        )
