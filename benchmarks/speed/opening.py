"""Measure what opening a large dataset costs: verified for the first time, opened again, and a plain read of its files.

    python -m benchmarks.speed.opening [--gigabytes 1] [--directory DIR]

The dataset is made up in DIR (default: a temporary directory): rows of 900 tokens, inputs and labels. Each figure is
that of a process of its own, processor and wall seconds of opening alone, without the imports.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.inputs.made_up import made_up_metadata
from trm_cli.data.files.checked_files import MEMORY_NAME
from trm_cli.data.files.manifest import Manifest, seal
from trm_cli.data.files.puzzle_arrays import one_example_each, write_split

_LENGTH, _WORDS = 900, 12
_TIMED = """
import sys, time
{imports}
root = sys.argv[1]
wall, used = time.perf_counter(), time.process_time()
{work}
print(f"{{time.process_time() - used:6.2f}} s processor {{time.perf_counter() - wall:6.2f}} s wall")
"""
_READ = _TIMED.format(
    imports="from pathlib import Path",
    work="""
for path in Path(root).rglob("*.npy"):
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass
""",
)
_OPEN = _TIMED.format(
    imports="from trm_cli.data.puzzles.dataset import open_dataset",
    work='open_dataset([root], "train", verify=sys.argv[2] == "verify")',
)


def write_dataset(root: Path, gigabytes: float) -> int:
    """Write a sealed dataset of about this size and return its number of rows."""
    rows = int(gigabytes * 1e9 / (2 * _LENGTH))
    tokens = np.random.default_rng(0).integers(1, _WORDS, (rows, _LENGTH), np.uint8)
    arrays = {"inputs": tokens, "labels": tokens[::-1], "puzzle_identifiers": np.zeros(rows, np.int32)}
    metadata = made_up_metadata(_LENGTH, _WORDS, rows)
    names = write_split(root, "train", metadata, {**arrays, **one_example_each(rows)})
    seal(root, Manifest("made up", {}, 0, {}, "none"), names, {})
    return rows


def _measure(what: str, code: str, root: Path, *arguments: str) -> None:
    line = [sys.executable, "-c", code, str(root), *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    print(f"{what:24s}{done.stdout.strip()}", flush=True)


def main() -> int:
    """Print a line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        root = Path(folder)
        rows = write_dataset(root, options.gigabytes)
        size = sum(path.stat().st_size for path in root.rglob("*.npy"))
        print(f"{rows:,} rows, {size / 1e9:.2f} GB")
        _measure("plain read", _READ, root)
        _measure("not verified", _OPEN, root, "trust")
        (root / MEMORY_NAME).unlink(missing_ok=True)
        _measure("verified, first start", _OPEN, root, "verify")
        _measure("second start", _OPEN, root, "verify")
        _measure("plain read", _READ, root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
