"""Read folders of labelled pictures as a source of a stream dataset. Pillow decodes them when their record is made.

A label is a class: the name of the folder in which a picture lies, or what `labels.csv` says of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from trm_cli.data.files.metadata import SPLITS
from trm_cli.data.stream.records import PICTURE, Record
from trm_cli.errors import DatasetError
from trm_cli.paths import is_dir, is_file

from ...digest_set import DigestSet
from ...held_out import is_test
from ...table_rows import table_rows
from ..sources import Origin

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff")
LABELS_FILE = "labels.csv"
#: Names of its columns, compared without case.
_FILES = ("file", "filename", "file_name", "image", "picture", "path")
_LABELS = ("label", "class", "category")
MAX_LABEL = 255


@dataclass(frozen=True)
class PictureSource:
    """Picture files with labels, made square (shrunk to fit, black borders, nothing cut off) when recorded."""

    origin: Origin
    files: Mapping[str, tuple[tuple[Path, int], ...]]  # split -> (file, number of its label)
    labels: tuple[str, ...]
    channels: int
    side: int
    dropped: Mapping[str, int]
    record_kind: ClassVar[int] = PICTURE

    def count(self, split: str) -> int:
        """Return the number of pictures."""
        return len(self.files[split])

    def symbols(self, split: str) -> int:
        """Return one label a picture."""
        return self.count(split)

    def sides(self, split: str) -> Sequence[int]:  # noqa: ARG002
        """Return nothing: no record is a grid."""
        return ()

    def record(self, split: str, index: int) -> Record:
        """Decode one picture. Raises DatasetError naming the file that does not decode."""
        from trm_cli.data.stream.picture_file import read_picture

        file, label = self.files[split][index]
        return Record(PICTURE, read_picture(file, self.channels, self.side).tobytes(), label=label)


def picture_source(
    name: str,
    folder: Path,
    labelled: Sequence[tuple[Path, str]],
    channels: int,
    side: int,
    seed: int,
    test_share: float,
) -> PictureSource:
    """Divide the labelled pictures of a folder into splits, each picture once. Raises DatasetError."""
    labels = tuple(sorted({text for _, text in labelled}))
    numbers = {text: number for number, text in enumerate(labels)}
    files: dict[str, list[tuple[Path, int]]] = {split: [] for split in SPLITS}
    repeated = 0
    digests = DigestSet()
    total = hashlib.sha256()
    for file, text in labelled:
        if not 0 < len(text) <= MAX_LABEL or not text.isprintable():
            raise DatasetError(f"{file}: a label must have 1 to {MAX_LABEL} printable characters, found {text!r:.300}")
        try:
            digest = hashlib.sha256(file.read_bytes()).digest()
        except OSError as error:
            raise DatasetError(f"{file}: cannot be read: {error.strerror}") from error
        if not digests.add(digest):
            repeated += 1
            continue
        total.update(digest + text.encode())
        files["test" if is_test(digest, seed, test_share) else "train"].append((file, numbers[text]))
    unseen = len({number for _, number in files["test"]} - {number for _, number in files["train"]})
    note = f"{unseen} of its {len(labels)} classes have no picture that trains" if unseen else ""
    licence = "as stated by the owner of the pictures"
    origin = Origin(name, "directory", str(folder), licence, total.hexdigest(), note)
    dropped = {"repeated pictures": repeated} if repeated else {}
    return PictureSource(
        origin, {split: tuple(items) for split, items in files.items()}, labels, channels, side, dropped
    )


def labelled_pictures(folder: Path) -> list[tuple[Path, str]]:
    """List the pictures of a folder with their labels: from `labels.csv` (file,label) if there is one, else folders."""
    return _labels_from_csv(folder) if is_file(folder / LABELS_FILE) else _labels_from_folders(folder)


def _labels_from_csv(folder: Path) -> list[tuple[Path, str]]:
    table = folder / LABELS_FILE
    labelled = []
    places: tuple[int, int] | None = None
    for line, row in table_rows(table):
        if places is None:
            places = _columns(row)
            if places is not None:
                continue
            places = (0, 1)
        if len(row) <= max(places):
            raise DatasetError(f"{table}:{line}: expected file,label, found {len(row)} columns")
        file, label = row[places[0]].replace("\\", "/"), row[places[1]]
        if not is_file(folder / file):
            raise DatasetError(f"{table}:{line}: there is no file {row[places[0]]}")
        labelled.append((folder / file, label))
    if not labelled:
        raise DatasetError(f"{table}: names no picture")
    return labelled


def _columns(header: Sequence[str]) -> tuple[int, int] | None:
    """The places of file and label in a header; None where the first row is none."""
    names = [name.casefold() for name in header]
    found = [next((names.index(name) for name in known if name in names), None) for known in (_FILES, _LABELS)]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def _labels_from_folders(folder: Path) -> list[tuple[Path, str]]:
    if not is_dir(folder):
        raise DatasetError(f"{folder}: no such folder of pictures")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and is_file(path))
    if not files:
        raise DatasetError(f"{folder}: the folder holds no picture", hint=f"known: {' '.join(PICTURE_SUFFIXES)}")
    for path in files:
        if path.parent == folder:
            raise DatasetError(
                f"{path}: has no label: it lies in no folder named after its label, and there is no {LABELS_FILE}"
            )
    return [(path, path.parent.name.replace("_", " ")) for path in files]
