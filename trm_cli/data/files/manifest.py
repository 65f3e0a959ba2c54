"""Read, write and verify `manifest.json`: a dataset's sources, build state, and the checksum of each file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from trm_cli.data.files.checked_files import CheckedFiles
from trm_cli.data.files.durable import sha256_file, write_atomically
from trm_cli.data.files.json_file import read_json
from trm_cli.data.files.metadata import FORMAT_VERSION
from trm_cli.data.files.regular_file import require_regular
from trm_cli.errors import REBUILD, DatasetError

MANIFEST_NAME = "manifest.json"
_SAMPLED_ABOVE = 64 << 20
_SAMPLE_BYTES = 1 << 20
_SAMPLES = 64
_READERS = 2


#: What a reader relies on, beside the list of files.
_TYPES = {
    "builder": str,
    "flags": Mapping,
    "seed": int,
    "source": Mapping,
    "licence": str,
    "builder_version": int,
    "planned": Mapping,
    "finished": Mapping,
    "state": str,
    "format_version": int,
    "fingerprint": str | None,
}


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256 of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Provenance of a dataset and checksums of its files.

    `builder_version` rises whenever the same flags would give other bytes than before.
    `flags` are those that decide the content, so not the number of workers; `state` is "building" or "complete";
    `planned` and `finished` are counts. Nothing here depends on when or where it was built: the same flags give the
    same bytes.
    """

    builder: str
    flags: Mapping[str, object]
    seed: int
    source: Mapping[str, object]
    licence: str
    builder_version: int = 1
    planned: Mapping[str, object] = field(default_factory=dict)
    finished: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    state: str = "building"
    format_version: int = FORMAT_VERSION
    fingerprint: str | None = None

    @property
    def limits(self) -> dict[str, Mapping[str, object]]:
        """Return what limits took of the sources and what they left: {source: {"taken": ..., "left": ...}}."""
        found = self.planned.get("limits")
        entries = found.items() if isinstance(found, Mapping) else ()
        return {str(name): counts for name, counts in entries if isinstance(counts, Mapping)}

    def limit_lines(self) -> list[str]:
        """Say in a line each how much of a source a limit took and left, and what else was left out or changed."""

        def words(value: object) -> str:
            return f"{value:,}" if isinstance(value, int) else str(value)

        found = self.planned.get("counts")
        others: Mapping[str, object] = found if isinstance(found, Mapping) else {}
        return [
            f"{name}: limited to {words(counts.get('taken'))}; left out: {words(counts.get('left'))}"
            for name, counts in self.limits.items()
        ] + [f"{words(count)} {what}" for what, count in others.items()]

    def to_bytes(self) -> bytes:
        """Return the content of `manifest.json`."""
        return (json.dumps(asdict(self), indent=2, sort_keys=True) + "\n").encode("utf-8")


def read_manifest(root: str | Path) -> Manifest | None:
    """Read `root/manifest.json`; None when there is none (a dataset of another program). Raises DatasetError."""
    path = Path(root) / MANIFEST_NAME
    if not os.path.lexists(path):
        return None
    raw = read_json(path, hint=REBUILD)
    try:
        records = {
            name: FileRecord(int(record["size"]), str(record["sha256"])) for name, record in raw["files"].items()
        }
        manifest = Manifest(**{**raw, "files": records})
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DatasetError(f"{path} is damaged: {error}", hint=REBUILD) from error
    for key, kind in _TYPES.items():
        value = getattr(manifest, key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise DatasetError(f"{path} is damaged: {key} is {value!r:.100}", hint=REBUILD)
    for name in records:
        if not name or Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
            raise DatasetError(f"{path} is damaged: {name!r:.100} is no file of the dataset", hint=REBUILD)
    if manifest.format_version > FORMAT_VERSION:
        raise DatasetError(
            f"{path} was written by a newer trm (format version {manifest.format_version})", hint="update trm"
        )
    return manifest


def write_manifest(root: str | Path, manifest: Manifest) -> None:
    """Write `root/manifest.json` atomically."""
    write_atomically(Path(root) / MANIFEST_NAME, manifest.to_bytes())


def seal(root: str | Path, manifest: Manifest, names: list[str], finished: Mapping[str, object]) -> Manifest:
    """Record size and checksum of each file in `names` (relative to root) and write the manifest as complete.

    Must be the last write of a build: a reader relies on a complete manifest for every file being there.
    """
    records = {name: _record(Path(root) / name) for name in sorted(names)}
    digest = hashlib.sha256()
    for name, record in records.items():
        digest.update(f"{name}\0{record.size}\0{record.sha256}\n".encode())
    sealed = replace(manifest, files=records, finished=dict(finished), state="complete", fingerprint=digest.hexdigest())
    write_manifest(root, sealed)
    return sealed


def _record(path: Path) -> FileRecord:
    return FileRecord(path.stat().st_size, sha256_file(path))


def check_complete(root: str | Path, manifest: Manifest) -> None:
    """Raise DatasetError unless the build has ended and every recorded file has its recorded size (not its content)."""
    if manifest.state != "complete":
        raise DatasetError(
            f"dataset {root} is not complete: its build was interrupted or still runs",
            hint="run the command that builds it again; it continues where it stopped",
        )
    for name, record in manifest.files.items():
        path = Path(root) / name
        size = path.stat().st_size if path.is_file() else None
        if size != record.size:
            found = "is missing" if size is None else f"has {size} bytes where the manifest says {record.size}"
            raise DatasetError(f"{path} {found}", hint=REBUILD)


def check_contents(root: str | Path, split: str, manifest: Manifest) -> None:
    """Raise DatasetError unless the files of a split, and those beside it, have their recorded content.

    Large files are read once and then remembered, see `CheckedFiles`.
    """
    checked = CheckedFiles(root)
    wanted = [
        (name, record.sha256)
        for name, record in manifest.files.items()
        if "/" not in name or name.startswith(f"{split}/")
    ]
    unknown = [(name, sha256) for name, sha256 in wanted if not checked.has_passed(name, sha256)]
    with ThreadPoolExecutor(_READERS) as pool:  # the lock of the interpreter is not held while a digest is computed
        found = list(pool.map(lambda item: _digest(Path(root) / item[0]), unknown))
    for (name, expected), sha256 in zip(unknown, found, strict=True):
        if sha256 != expected:
            raise DatasetError(
                f"{Path(root) / name} is damaged: its SHA-256 begins with {sha256[:12]}, the manifest says "
                f"{expected[:12]}",
                hint=REBUILD,
            )
        checked.remember(name, expected)


def _digest(path: Path) -> str:
    try:
        require_regular(path)
        return sha256_file(path)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}", hint=REBUILD) from error


def verify(root: str | Path) -> list[str]:
    """Read every recorded file and return the names of those whose content has changed (none: all intact)."""
    manifest = read_manifest(root)
    if manifest is None:
        raise DatasetError(f"{root} has no {MANIFEST_NAME}, so there is nothing to compare with")
    return [
        name
        for name, record in manifest.files.items()
        if not (Path(root) / name).is_file() or _record(Path(root) / name) != record
    ]


def split_fingerprint(root: str | Path, split: str, manifest: Manifest | None) -> str:
    """Return the SHA-256 that stands for the content of one split, wherever the directory lies.

    With a manifest: over the recorded checksums of the split's files and of the files at the root. Without one (a
    dataset of the original code) the files are read: whole up to 64 MiB, above that 64 blocks of 1 MiB spread evenly
    with the size, which is a second's work where a full hash of gigabytes would cost a minute at every start.
    """
    digest = hashlib.sha256()
    if manifest is not None:
        for name, record in sorted(manifest.files.items()):
            if "/" not in name or name.startswith(f"{split}/"):
                digest.update(f"{name}\0{record.size}\0{record.sha256}\n".encode())
        return digest.hexdigest()
    directory = Path(root, split)
    paths = [*sorted(directory.glob("*.npy")), directory / "dataset.json", Path(root, "identifiers.json")]
    for path in paths:
        if path.is_file():
            digest.update(f"{path.name}\0{path.stat().st_size}\0{_content_hash(path)}\n".encode())
    return digest.hexdigest()


def _content_hash(path: Path) -> str:
    size = path.stat().st_size
    if size <= _SAMPLED_ABOVE:
        return sha256_file(path)
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for index in range(_SAMPLES):
            stream.seek((size - _SAMPLE_BYTES) * index // (_SAMPLES - 1))
            digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()
