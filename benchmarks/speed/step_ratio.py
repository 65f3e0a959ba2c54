"""Compare the training step of this tree with that of another one: alternating pairs of processes, median ratio.

    python -m benchmarks.speed.step_ratio OTHER_TREE [--only mlp_t,float32,eager ...] [--pairs 9] [--steps 3] [--json]

Each process runs `step_time --only ...` of its own tree, with this interpreter. The two of a pair run one right after
the other, and the tree that begins changes from pair to pair, so that a slow spell of the machine meets both. Times are
processor time of the fastest step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
ROWS = [f"{network},{precision},eager" for network in ("mlp_t", "attention") for precision in ("float32", "bfloat16")]


def measured(tree: Path, row: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One row of `benchmarks.speed.step_time`, in a fresh process in `tree`."""
    options = {"--batch": arguments.batch, "--steps": arguments.steps, "--threads": arguments.threads}
    words = [str(word) for pair in options.items() for word in pair]
    moved = (tree / "benchmarks/speed/step_time.py").is_file()  # earlier trees have it elsewhere
    module = "benchmarks.speed.step_time" if moved else "benchmarks.step_time"
    command = [sys.executable, "-m", module, "--only", row, *words]
    done = subprocess.run(command, cwd=tree, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(row: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """All pairs of one row, and the medians of their ratios, this tree over the other."""
    pairs = []
    for number in range(arguments.pairs):
        trees = [("other", arguments.other), ("this", HERE)]
        found = {name: measured(tree, row, arguments) for name, tree in (trees if number % 2 == 0 else trees[::-1])}
        pair = {
            "other_ms": found["other"]["cpu_ms"],
            "this_ms": found["this"]["cpu_ms"],
            "ratio": round(found["this"]["cpu_ms"] / found["other"]["cpu_ms"], 3),
            "memory_ratio": round(found["this"]["step_rss_mib"] / found["other"]["step_rss_mib"], 3),
        }
        pairs.append(pair)
        print(f"{row:26} pair {number + 1}: {pair}", file=sys.stderr, flush=True)
    medians = {name: statistics.median(pair[name] for pair in pairs) for name in ("ratio", "memory_ratio")}
    return {"row": row, **medians, "pairs": pairs}


def main() -> None:
    """Print the median ratio of each row, with all its pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="root of the other tree")
    parser.add_argument("--only", nargs="+", default=ROWS, help="network,precision,mode as in step_time")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    arguments = parser.parse_args()
    results = [compare(row, arguments) for row in arguments.only]
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    for result in results:
        ratios = " ".join(f"{pair['ratio']:.3f}" for pair in result["pairs"])
        print(f"{result['row']:26} time {result['ratio']:.3f}  memory {result['memory_ratio']:.3f}  pairs: {ratios}")


if __name__ == "__main__":
    main()
