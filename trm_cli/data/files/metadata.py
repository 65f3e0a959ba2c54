"""Read and combine `dataset.json`, the metadata of one split. No numpy, so that a plan needs no heavy import."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from trm_cli.data.files.json_file import read_json
from trm_cli.errors import REBUILD, DatasetError
from trm_cli.paths import exists, is_dir, is_file, mistyped_path

FORMAT_VERSION = 1
METADATA_NAME = "dataset.json"
SPLITS = ("train", "test")
#: Value of `layout` where a split is one array of tokens that rows are cut from, each label the token after its input.
TOKENS = "tokens"
#: Label of a place that is not learned, in every batch; a file may have another one: `ignore_label_id`.
IGNORED_LABEL = -100


@dataclass(frozen=True, kw_only=True)
class DatasetMetadata:
    """One split of a dataset. The first ten keys are those of the original TRM and HRM code, the others are ours.

    A group is a base puzzle with all its augmentations, a puzzle one augmentation, an example one input/label pair.
    `augmentation` is null where the stored puzzles are all there are; otherwise the stored puzzles are base puzzles and
    the mapping ({"kind": ..., "count": ..., ...}) says how batches are augmented while they are drawn.
    `total_puzzles` is 0 where the file does not say it. `extra` keeps keys that another family of datasets added.
    """

    pad_id: int = 0
    ignore_label_id: int | None = 0
    blank_identifier_id: int = 0
    vocab_size: int
    seq_len: int
    num_puzzle_identifiers: int = 1
    total_groups: int
    mean_puzzle_examples: float = 1.0
    total_puzzles: int
    sets: tuple[str, ...] = ("all",)
    format_version: int | None = FORMAT_VERSION
    kind: str | None = None
    augmentation: Mapping[str, object] | None = None
    extra: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def samples_per_epoch(self) -> Fraction:
        """Return the examples in one pass over the groups, exactly: total_groups * mean_puzzle_examples."""
        return self.total_groups * Fraction(str(self.mean_puzzle_examples))

    def to_json(self) -> dict[str, object]:
        """Return the mapping that `dataset.json` holds."""
        known = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "extra"}
        known["sets"] = list(self.sets)
        known["augmentation"] = None if self.augmentation is None else dict(self.augmentation)
        return {**known, **self.extra}

    def to_bytes(self) -> bytes:
        """Return the content of `dataset.json`, the same bytes for the same values."""
        return (json.dumps(self.to_json(), indent=2) + "\n").encode("utf-8")


@dataclass(frozen=True)
class DatasetFacts:
    """The two numbers that the schedule needs, where they come from, and whether a test split comes with them."""

    total_groups: int
    mean_puzzle_examples: float
    source: str
    test_split: bool = True


#: Lowest and highest value of every count. A vocabulary or a table beyond these cannot be trained anywhere.
_COUNTS = {
    "pad_id": (0, 1 << 24),
    "blank_identifier_id": (0, 1 << 31),
    "vocab_size": (1, 1 << 24),
    "seq_len": (1, 1 << 24),
    "num_puzzle_identifiers": (1, 1 << 31),
    "total_groups": (1, 1 << 48),
    "total_puzzles": (1, 1 << 48),
}
_MOST_EXAMPLES = 1 << 31
_REBUILD = f"{REBUILD}, or correct data_paths"


def read_metadata(directory: str | Path, split: str) -> DatasetMetadata:
    """Read `directory/split/dataset.json`. Raises DatasetError naming the file and the key that is wrong."""
    path = Path(directory) / split / METADATA_NAME
    if not os.path.lexists(path):
        raise _missing(Path(directory), split)
    raw = read_json(path, hint=_REBUILD)
    if not isinstance(raw, dict):
        raise DatasetError(f"{path} must hold a JSON object, found {type(raw).__name__}", hint=_REBUILD)
    return parse_metadata(raw, str(path))


def parse_metadata(raw: Mapping[str, object], where: str) -> DatasetMetadata:
    """Check a `dataset.json` mapping. `where` names the file in error messages."""

    def wrong(key: str, expected: str) -> DatasetError:
        found = f"found {raw[key]!r:.200}" if key in raw else "the key is missing"
        return DatasetError(f"{where}: {key} must be {expected}, {found}", hint=_REBUILD)

    # The builders of HRM do not state total_puzzles: it is counted when the arrays are opened.
    for key in _COUNTS if "total_puzzles" in raw else _COUNTS.keys() - {"total_puzzles"}:
        value, (lowest, highest) = raw.get(key), _COUNTS[key]
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            kind = "a positive integer" if lowest else "an integer that is not negative"
            raise wrong(key, f"{kind} up to {highest}")
    for key, end in (("pad_id", "vocab_size"), ("blank_identifier_id", "num_puzzle_identifiers")):
        if raw[key] >= raw[end]:  # type: ignore[operator]  # both were found to be integers
            raise wrong(key, f"below {end}, {raw[end]}")
    mean = raw.get("mean_puzzle_examples")
    if not isinstance(mean, int | float) or isinstance(mean, bool) or not 0 < mean <= _MOST_EXAMPLES:
        raise wrong("mean_puzzle_examples", "a positive number")
    ignored = raw.get("ignore_label_id")
    if "ignore_label_id" not in raw or not (
        ignored is None or (isinstance(ignored, int) and not isinstance(ignored, bool) and abs(ignored) < 1 << 31)
    ):
        raise wrong("ignore_label_id", "an integer or null")
    sets = raw.get("sets")
    if (
        not isinstance(sets, list)
        or not sets
        or not all(isinstance(name, str) and name and "/" not in name and "\0" not in name for name in sets)
        or len(set(sets)) != len(sets)
    ):
        raise wrong("sets", "a list of different names")
    if raw.get("kind") is not None and not isinstance(raw["kind"], str):
        raise wrong("kind", "a text or null")
    if raw.get("augmentation") is not None and not isinstance(raw["augmentation"], dict):
        raise wrong("augmentation", "a mapping or null")
    version = raw.get("format_version")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version > FORMAT_VERSION):
        raise wrong("format_version", f"at most {FORMAT_VERSION} (a newer trm wrote this)")
    known = {item.name for item in fields(DatasetMetadata)} - {"extra"}
    values = {key: raw.get(key) for key in known}
    values["sets"] = tuple(sets)
    values["total_puzzles"] = raw.get("total_puzzles", 0)
    extra = MappingProxyType({key: value for key, value in raw.items() if key not in known})
    return DatasetMetadata(**values, extra=extra)  # type: ignore[arg-type]  # every value was checked above


def combine_metadata(parts: Sequence[DatasetMetadata], names: Sequence[str]) -> DatasetMetadata:
    """Describe several datasets as one: groups are summed, identifiers share the blank one and follow each other.

    mean_puzzle_examples is weighted by groups, so that samples_per_epoch is the sum of the parts'. `names` are for
    error messages. Raises DatasetError when the datasets do not fit together.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    for part, name in zip(parts[1:], names[1:], strict=True):
        for key in ("seq_len", "vocab_size", "pad_id", "ignore_label_id", "blank_identifier_id", "kind"):
            mine, other = getattr(first, key), getattr(part, key)
            if mine != other:
                raise DatasetError(
                    f"{names[0]} and {name} cannot be combined: {key} is {mine!r} here and {other!r} there",
                    hint="train on one of them, or build both with the same settings",
                )
    if first.blank_identifier_id != 0:
        raise DatasetError(f"{names[0]}: several datasets combine only where blank_identifier_id is 0")
    groups = sum(part.total_groups for part in parts)
    samples = sum((part.samples_per_epoch for part in parts), Fraction(0))
    return DatasetMetadata(
        pad_id=first.pad_id,
        ignore_label_id=first.ignore_label_id,
        vocab_size=first.vocab_size,
        seq_len=first.seq_len,
        num_puzzle_identifiers=1 + sum(part.num_puzzle_identifiers - 1 for part in parts),
        total_groups=groups,
        mean_puzzle_examples=float(samples / groups),
        total_puzzles=sum(part.total_puzzles for part in parts),
        sets=first.sets,
        kind=first.kind,
    )


def has_split(paths: Sequence[str | Path], split: str) -> bool:
    """Return whether every one of some datasets has a split."""
    return all(is_dir(Path(path) / split) for path in paths)


def read_facts(paths: Sequence[str | Path], split: str = "train") -> DatasetFacts:
    """Read what the schedule needs from one or more datasets, without numpy."""
    names = [str(path) for path in paths]
    metadata = combine_metadata([read_metadata(path, split) for path in paths], names)
    return DatasetFacts(metadata.total_groups, metadata.mean_puzzle_examples, ", ".join(names))


def _missing(directory: Path, split: str) -> DatasetError:
    if not exists(directory):
        hint = mistyped_path(str(directory)) or "build it (`trm build-dataset MODEL`), or correct data_paths"
        return DatasetError(f"dataset {directory} does not exist", hint=hint)
    if exists(directory / "manifest.json"):
        return DatasetError(
            f"dataset {directory} is not complete: {split}/{METADATA_NAME} is missing",
            hint="run the command that builds it again; it continues where it stopped",
        )
    hint = "correct data_paths"
    if is_file(directory / "run.json"):
        hint = f"it is a run: {directory}/config.yaml says what it was trained on (data_paths)"
    elif there := sorted(str(path.parent.parent) for path in directory.glob(f"*/train/{METADATA_NAME}")):
        hint = f"datasets there: {', '.join(there)}"
    return DatasetError(f"{directory} is not a dataset: {split}/{METADATA_NAME} is missing", hint=hint)
