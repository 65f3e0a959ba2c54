"""`python -m benchmarks.hesc_card`: run what is missing of the card, or a part of it, or print its table.

Example: python -m benchmarks.hesc_card --row a --model mini transformer --seed 0 --scale 0.33
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the jobs that are asked for, each result appended to the file at once."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hesc_card", description=__doc__)
    parser.add_argument("--row", nargs="+", help="rows, in the order in which they run")
    parser.add_argument("--model", nargs="+", help="models, in the order in which they run")
    parser.add_argument("--seed", nargs="+", type=int)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full processor time (default 1)")
    parser.add_argument("--missing", action="store_true", help="only what has no result yet")
    parser.add_argument("--list", action="store_true", help="print the jobs and which have a result, run nothing")
    parser.add_argument("--table", action="store_true", help="print medians and ranges as Markdown, run nothing")
    trial = "train ours with these settings, score it on the part to choose by, record nothing"
    parser.add_argument("--try", nargs="*", metavar="KEY=VALUE", dest="settings", help=trial)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/hesc_card"), help="data and runs")
    parser.add_argument("--results", type=Path, help="the file of results (default: the committed one)")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

    from benchmarks.hesc_card import results
    from benchmarks.hesc_card.card import ROWS, jobs
    from benchmarks.result_file import append_result, read_results

    file = options.results or results.RESULTS
    if options.table:
        print(results.table(read_results(file)))
        return 0
    chosen = [job for job in jobs(options.scale) if _wanted(job, options)]
    if not chosen:
        parser.error(f"there is no such job: rows are {', '.join(ROWS)}, and --list prints the rest")
    chosen.sort(key=lambda job: (_place(options.row, job.row), _place(options.model, job.model), job.seed))
    done = results.newest(read_results(file))
    if options.list:
        print("\n".join(f"{job.name}: {'done' if job in done else 'missing'}" for job in chosen))
        return 0
    from benchmarks.hesc_card.running import run, try_out

    for job in chosen:
        if options.settings is not None:
            print(json.dumps(try_out(job, options.out, options.settings)), flush=True)
        elif not (options.missing and job in done):
            if job in done:
                _forget(options.out / "runs", job.name)
            entry = run(job, options.out)
            append_result(entry, file)
            print(f"{job.name}: {json.dumps(entry['scores'])}", flush=True)
    return 0


def _wanted(job: tuple[str, str, int, float], options: argparse.Namespace) -> bool:
    row, model, seed, _ = job
    return all(
        asked is None or value in asked
        for value, asked in ((row, options.row), (model, options.model), (seed, options.seed))
    )


def _place(asked: Sequence[str] | None, value: str) -> int:
    return list(asked).index(value) if asked else 0


def _forget(runs: Path, name: str) -> None:
    """Remove the run of a job that is done again, which would else be complete already."""
    for path in runs.glob(f"{name}*"):
        # Trainings that have chosen a learning rate stay: what they say has not changed.
        if path.is_dir():
            shutil.rmtree(path)
        elif "-rate-" not in path.name:
            path.unlink()


if __name__ == "__main__":
    raise SystemExit(main())
