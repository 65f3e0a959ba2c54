"""Write an encoded text corpus: as parts, by a shard, or as the arrays of a dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from trm_cli.data.building.build_directory import Build
from trm_cli.data.building.build_shards import require_no_gap
from trm_cli.data.building.builder_cli import Progress
from trm_cli.data.files.durable import write_atomically
from trm_cli.data.files.metadata import SPLITS, TOKENS, DatasetMetadata
from trm_cli.data.files.puzzle_arrays import array_path, npy_writer, write_split

from ..build_parts import PartStore
from .corpus import IDENTIFIERS, PAD, Corpus
from .token_spool import TokenSpool


def store_parts(work: Build, corpus: Corpus, spool: TokenSpool) -> None:
    """Write the parts that a shard has encoded, those that are not there yet."""
    store, progress = PartStore(work.parts), Progress(corpus.part_count, "parts")
    for number, tokens in spool.parts():
        if store.read(_name(number)) is None:
            store.write(_name(number), {split: np.frombuffer(part, np.uint8) for split, part in tokens.items()})
        progress.report(number + 1)


def join_parts(work: Build, corpus: Corpus) -> None:
    """Fill a corpus of which nothing was encoded from the parts of all shards. Raises DatasetError for one missing."""
    store, progress = PartStore(work.parts), Progress(corpus.part_count, "parts")
    missing = []
    for number in range(corpus.part_count):
        part = store.read(_name(number))
        if part is None:
            missing.append((number, _name(number)))
            continue
        for split in SPLITS:
            corpus.append(split, part[split].tobytes())
        progress.report(number + 1)
    require_no_gap(work.root, work.parts, missing)


def _name(number: int) -> str:
    return f"documents_{number:06d}"


def write_dataset(work: Build, corpus: Corpus, spool: TokenSpool, described: Mapping[str, DatasetMetadata]) -> None:
    """Write the tokens of both splits, and seal the dataset."""
    write_atomically(work.root / "identifiers.json", (json.dumps(IDENTIFIERS) + "\n").encode())
    names = ["identifiers.json"]
    progress = Progress(len(described), "splits")
    dtype = np.dtype(corpus.typecode)
    for done, (split, metadata) in enumerate(described.items(), start=1):
        (work.root / split).mkdir(exist_ok=True)
        count = metadata.total_groups * metadata.seq_len + 1
        with npy_writer(array_path(work.root, split, TOKENS), (count,), dtype) as writer:
            for block in spool.blocks(split):
                writer.append(np.frombuffer(block, dtype))
            writer.append(np.full(count - writer.rows, PAD, dtype))
        names += write_split(work.root, split, metadata, {}, written=(TOKENS,))
        progress.report(done, split)
    work.finish(names, {split: metadata.total_groups for split, metadata in described.items()})
