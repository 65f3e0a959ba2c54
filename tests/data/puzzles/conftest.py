from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.files.puzzle_arrays import write_split


@pytest.fixture
def write_puzzles(tmp_path: Path) -> Callable[..., Path]:
    """Write groups given as lists of puzzle sizes; every cell of example k holds a value that identifies k."""

    def write(
        groups: list[list[int]],
        *,
        name: str = "data",
        split: str = "train",
        dtype: type = np.uint8,
        vocab: int = 4096,
        identifiers: int | None = None,
        **changes: object,
    ) -> Path:
        sizes = [size for group in groups for size in group]
        total, puzzles = sum(sizes), len(sizes)
        values = np.arange(1, total + 1).reshape(-1, 1) % vocab
        metadata = DatasetMetadata(
            **{
                "pad_id": 0,
                "ignore_label_id": 0,
                "blank_identifier_id": 0,
                "vocab_size": vocab,
                "seq_len": 3,
                "num_puzzle_identifiers": identifiers or puzzles + 1,
                "total_groups": len(groups),
                "mean_puzzle_examples": total / puzzles,
                "total_puzzles": puzzles,
                **changes,
            }
        )
        arrays = {
            "inputs": np.repeat(values, 3, axis=1).astype(dtype),
            "labels": np.concatenate([values, values * 0, values], axis=1).astype(dtype),
            "puzzle_identifiers": np.arange(1, puzzles + 1, dtype=np.int32),
            "puzzle_indices": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
            "group_indices": np.concatenate([[0], np.cumsum([len(group) for group in groups])]).astype(np.int32),
        }
        write_split(tmp_path / name, split, metadata, arrays)
        return tmp_path / name

    return write
