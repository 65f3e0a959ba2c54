"""Run the benchmarks that end in minutes on a laptop, one after the other: `python -m benchmarks` or `make bench`."""

from __future__ import annotations

import subprocess
import sys

QUICK = (
    "benchmarks.speed.startup",
    "benchmarks.inputs.sudoku_batches",
    "benchmarks.speed.step_time",
    "benchmarks.speed.memory",
    "benchmarks.kills",
)


def main() -> int:
    """Each in a process of its own; 1 when any of them failed."""
    failed = []
    for module in QUICK:
        print(f"== {module}", flush=True)
        if subprocess.run([sys.executable, "-m", module]).returncode:
            failed.append(module)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
