"""Measure how fast augmented Sudoku batches are drawn: `python -m benchmarks.inputs.sudoku_batches` prints samples/s.

One process, one thread. The board content does not matter for the time, so the base puzzles are one solved board.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.speed.memory import peak
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.files.puzzle_arrays import write_split
from trm_cli.data.puzzles.dataset import BatchOrder, PuzzleDataset, open_dataset


def make_dataset(root: str, groups: int) -> PuzzleDataset:
    """Write `groups` 9x9 boards that are augmented while batches are drawn, and open them."""
    line = np.arange(81)
    board = (line // 9 * 3 + line // 27 + line % 9) % 9 + 2
    labels = np.tile(board.astype(np.uint8), (groups, 1))
    metadata = DatasetMetadata(
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        vocab_size=11,
        seq_len=81,
        num_puzzle_identifiers=1,
        total_groups=groups,
        mean_puzzle_examples=1.0,
        total_puzzles=groups,
        kind="sudoku",
        augmentation={"kind": "sudoku", "box": [3, 3], "count": 1000, "seed": 0},
    )
    offsets = np.arange(groups + 1, dtype=np.int32)
    arrays: dict[str, np.ndarray] = {
        "inputs": np.where(np.random.default_rng(0).random(labels.shape) < 0.7, 1, labels).astype(np.uint8),
        "labels": labels,
        "puzzle_identifiers": np.zeros(groups, np.int32),
        "puzzle_indices": offsets,
        "group_indices": offsets,
    }
    write_split(root, "train", metadata, arrays)
    return open_dataset([root], "train")


def main() -> None:
    """Time batches in blocks of an epoch or so and print the median and the best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=768)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--blocks", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        dataset = make_dataset(root, options.groups)
        order = BatchOrder(options.batch, max(1, options.groups // options.batch), "whole_run")
        rates, step = [], 1
        for _ in range(options.blocks):
            start = time.process_time()
            for _ in range(50):
                dataset.train_batch(step, order, seed=0)
                step += 1
            rates.append(50 * options.batch / (time.process_time() - start))
        stored = sum(path.stat().st_size for path in Path(root).rglob("*") if path.is_file())
    print(f"batch {options.batch}, {options.groups} groups, augmented 9x9, one thread:")
    print(f"median {statistics.median(rates):,.0f} samples/s, best {max(rates):,.0f} samples/s")
    print(
        f"peak memory of the process {peak():,.0f} MiB, {stored:,} bytes on disk for {1001 * options.groups:,} puzzles"
    )


if __name__ == "__main__":
    main()
