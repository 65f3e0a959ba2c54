"""Measure the start-up of `trm inspect-schedule` and `trm --help` as a multiple of their unavoidable imports.

    python -m benchmarks.speed.startup [--runs 15]

Runs alternate, so that a busy machine slows both equally; the ratio of the medians is the figure.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

BASE = [sys.executable, "-c", "import typer, rich, yaml, pydantic"]
COMMANDS = {
    "inspect-schedule": [
        sys.executable,
        "-m",
        "trm_cli",
        "inspect-schedule",
        "sudoku-extreme",
        "--samples-per-epoch",
        "1000",
    ],
    "--help": [sys.executable, "-m", "trm_cli", "--help"],
}


def main() -> int:
    """Print a line a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    for line in (BASE, *COMMANDS.values()):
        seconds(line)  # fills the bytecode and file caches
    for name, line in COMMANDS.items():
        pairs = [(seconds(BASE), seconds(line)) for _ in range(runs)]
        base, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        least = min(pair[1] for pair in pairs) / min(pair[0] for pair in pairs)
        print(
            f"trm {name:18} {1000 * ours:6.0f} ms   imports alone {1000 * base:6.0f} ms   "
            f"ratio of medians {ours / base:.2f}, of minima {least:.2f}"
        )
    return 0


def seconds(line: list[str]) -> float:
    """Wall time of one process; its bytecode is cached, as in an installed program."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run(line, check=True, capture_output=True, env=environment)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
