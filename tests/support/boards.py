"""A small Sudoku dataset, written without the builder."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.files.puzzle_arrays import write_split


def boards(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """4x4 puzzles and solutions as tokens [count, 16]: relabelled and permuted from one solved board."""
    random = np.random.default_rng(seed)
    base = np.array([[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]])
    relabellings = list(itertools.permutations(range(1, 5)))
    solutions = []
    for _ in range(count):
        table = np.array([0, *relabellings[random.integers(24)]])
        solutions.append(table[base].reshape(-1))
    solved = np.stack(solutions) + 1
    puzzles = np.where(random.random(solved.shape) < 0.5, solved, 1)
    return puzzles.astype(np.uint8), solved.astype(np.uint8)


def write_boards(root: Path, *, train: int = 40, test: int = 16, identifiers: int = 1) -> Path:
    """A dataset directory in the array layout, augmented while drawn."""
    for split, count in (("train", train), ("test", test)):
        puzzles, solutions = boards(count, seed=train + count)
        metadata = DatasetMetadata(
            pad_id=0,
            ignore_label_id=0,
            blank_identifier_id=0,
            vocab_size=6,
            seq_len=16,
            num_puzzle_identifiers=identifiers,
            total_groups=count,
            mean_puzzle_examples=1.0,
            total_puzzles=count,
            kind="sudoku",
            augmentation={"kind": "sudoku", "box": [2, 2], "count": 10, "seed": 0} if split == "train" else None,
        )
        arrays = {
            "inputs": puzzles,
            "labels": solutions,
            "puzzle_identifiers": np.arange(count, dtype=np.int32) % identifiers,
            "puzzle_indices": np.arange(count + 1, dtype=np.int32),
            "group_indices": np.arange(count + 1, dtype=np.int32),
        }
        write_split(root, split, metadata, arrays)
    return root
