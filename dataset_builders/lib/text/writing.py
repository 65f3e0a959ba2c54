"""Write an encoded text corpus: as parts, by a shard, or as the arrays of a dataset."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Mapping

import numpy as np

from trm_cli.data.building.build_directory import Build
from trm_cli.data.building.builder_cli import Progress
from trm_cli.data.files.durable import write_atomically
from trm_cli.data.files.metadata import SPLITS, DatasetMetadata
from trm_cli.data.files.puzzle_arrays import write_split

from ..build_parts import Arrays, complete_parts
from .corpus import FIRST_TOKEN, IDENTIFIERS, PAD, Corpus


def store_parts(work: Build, corpus: Corpus) -> None:
    """Write the parts that a shard has encoded."""

    def make(number: int) -> Arrays:
        return {split: np.asarray(tokens, dtype=np.int32) for split, tokens in corpus.parts[number].items()}

    _complete(work, corpus, make)


def join_parts(work: Build, corpus: Corpus) -> None:
    """Fill a corpus of which nothing was encoded from the parts of all shards. Raises DatasetError for one missing."""

    def make(number: int) -> Arrays:
        raise AssertionError(f"a merge encodes nothing, but part {number} is asked for")

    for number, part in enumerate(_complete(work, corpus, make)):
        corpus.parts[number] = {split: array("i", part[split].tobytes()) for split in SPLITS}


def _complete(work: Build, corpus: Corpus, make: Callable[[int], Arrays]) -> list[Arrays]:
    items = {f"documents_{number:06d}": number for number in range(corpus.part_count)}
    progress = Progress(len(items), "parts")
    done = 0

    def count(_: int) -> None:
        nonlocal done
        done += 1
        progress.report(done)

    return complete_parts(work, items, make, 1, count)


def write_dataset(work: Build, corpus: Corpus, described: Mapping[str, DatasetMetadata]) -> None:
    """Write both splits, cut into rows, and seal the dataset."""
    write_atomically(work.root / "identifiers.json", (json.dumps(IDENTIFIERS) + "\n").encode())
    names = ["identifiers.json"]
    progress = Progress(len(described), "splits")
    for done, (split, metadata) in enumerate(described.items(), start=1):
        rows, length = metadata.total_groups, metadata.seq_len
        tokens = np.concatenate([np.asarray(corpus.parts[number][split]) for number in sorted(corpus.parts)])
        dtype = np.uint16 if corpus.vocabulary + FIRST_TOKEN <= 2**16 else np.int32
        padded = np.full(rows * length + 1, PAD, dtype=dtype)
        padded[: len(tokens)] = tokens
        counts = np.arange(rows + 1, dtype=np.int32)
        arrays = {
            "inputs": padded[:-1].reshape(rows, length),
            "labels": padded[1:].reshape(rows, length),
            "puzzle_identifiers": np.zeros(rows, dtype=np.int32),
            "puzzle_indices": counts,
            "group_indices": counts,
        }
        names += write_split(work.root, split, metadata, arrays)
        progress.report(done, split)
    work.finish(names, {split: metadata.total_groups for split, metadata in described.items()})
