"""Ideas against a recipe as it was, on laptop tasks, by equal processor time: `python -m benchmarks.learning`.

Settings are compared on puzzles that another seed draws than those of the recipe's own dataset, so that the test rows
of a recipe are looked at once, by its final run (`--final`). A run that was interrupted continues. Results are appended
to `learning.json`. Example: python -m benchmarks.learning --task sudoku-small --row published --seed 0
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.result_file import Entry, append_result, commit_of, read_results

RESULTS = Path(__file__).with_suffix(".json")

#: The recipe of each task with the box of its board, which positions of rows that know the board are told.
TASKS: Mapping[str, Sequence[str]] = {
    "sudoku-small": ("arch.box_rows=3", "arch.box_columns=3"),
    "sudoku-hard-small": ("arch.box_rows=3", "arch.box_columns=3"),
    "sudoku-6x6": ("arch.box_rows=2", "arch.box_columns=3"),
    "maze-small": (),
}
#: What is changed in the dataset of a recipe to choose by: 512 puzzles show about two points.
_TO_CHOOSE_BY = ("dataset_args.seed=1", "dataset_args.test=512")

#: What the rows are compared with: the recipe as it was before the best of them became it.
_DEEP = ("arch.H_cycles=2", "arch.L_cycles=2", "arch.halt_max_steps=6", "global_batch_size=64", "lr=1.5e-3",
         "ema_rate=0.99")  # fmt: skip
_BEFORE: Mapping[str, Sequence[str]] = {
    "sudoku-small": _DEEP,
    "sudoku-hard-small": (*_DEEP, "dataset_args.extra_clues=0"),
    "maze-small": (
        *_DEEP,
        "arch.halt_exploration_prob=0.5",
        "arch.neighbours=false",
        "arch.mlp_t=true",
        "arch.expansion=4",
        "dataset_args.size=14",
    ),
}
#: Mazes that every row is scored on, whatever size it was trained on, and the steps that it gets.
_MAZES, _MAZE_STEPS = ("--size", "14", "--loops", "0", "--train", "1"), 48

_BOARD = ("arch.pos_encodings=board",)
_ROTATED = ("arch.mlp_t=false", "arch.pos_encodings=rope_2d", "arch.rope_theta=100")
# The learning rate that the published one of Muon, 0.02, comes to with the scale used here.
_MUON = ("optimizer=muon", "arch.gate_norm=true", "lr=5e-3", "weight_decay=0.02")
_DEPTH = ("arch.H_cycles_start=1", "arch.L_cycles_start=1")
# Less recursion in an update, more supervision steps: half of the cost, and as many passes in all.
_SHALLOW = ("arch.H_cycles=1", "arch.L_cycles=1", "arch.halt_max_steps=12")
_SMALL_BATCH = ("global_batch_size=32", "lr=1.1e-3", "ema_rate=0.995")
_NEIGHBOURS = ("arch.neighbours=true", "arch.mlp_t=false", "arch.expansion=2", *_SHALLOW, *_SMALL_BATCH, "lr=3e-3",
               "arch.halt_exploration_prob=1")  # fmt: skip
_HALF = ("precision=bfloat16",)  # 1.6 times as many updates on a processor that multiplies in it
#: What a row changes of the recipe, or of what it was before.
ROWS: Mapping[str, Sequence[str]] = {
    "published": (),
    "attention-board": (*_BOARD, "arch.mlp_t=false"),
    "board": _BOARD,
    "attention-rotated": _ROTATED,
    "muon": _MUON,
    "depth": _DEPTH,
    "bfloat16": _HALF,
    "board-depth-bfloat16": (*_BOARD, *_DEPTH, *_HALF),
    "shallow": _SHALLOW,
    "shallow-bfloat16": (*_SHALLOW, *_HALF),
    "shallow-small-batch-bfloat16": (*_SHALLOW, *_SMALL_BATCH, *_HALF),
    "small-batch": _SMALL_BATCH,
    "shallow-small-batch": (*_SHALLOW, *_SMALL_BATCH),
    "muon-depth": (*_MUON, *_DEPTH),
    "attention-board-muon": (*_BOARD, "arch.mlp_t=false", *_MUON),
    "board-depth": (*_BOARD, *_DEPTH),
    "board-pre-norm": (*_BOARD, "arch.pre_norm=true"),
    "board-starts": (*_BOARD, "arch.starts=2"),
    "board-noise": (*_BOARD, "arch.start_noise=1", "arch.step_noise=0.01"),
    "board-smooth": (*_BOARD, "arch.label_smoothing=0.1", "arch.q_weight=0.05"),
    "board-late-average": (*_BOARD, "ema_start_ratio=0.25", "ema_rate=0.995"),
    "board-to-zero": (*_BOARD, "lr_min_ratio=0"),
}
#: The same, of one task alone.
_OWN_ROWS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "sudoku-hard-small": {
        "eased-shallow-small-batch": (*_SHALLOW, *_SMALL_BATCH, "dataset_args.extra_clues=40"),
    },
    "maze-small": {
        "rotated-shallow-small-batch": (*_ROTATED, *_SHALLOW, *_SMALL_BATCH),
        "neighbours": _NEIGHBOURS,
        "eased-neighbours": (*_NEIGHBOURS, "dataset_args.size=6"),
    },
}


def rows_of(task: str) -> Mapping[str, Sequence[str]]:
    """The rows of a task by name."""
    return {**ROWS, **_OWN_ROWS.get(task, {})}


class Job(NamedTuple):
    """One run: a task, a row of settings, a seed, its processor time, and whether it is scored on the test rows."""

    task: str
    row: str
    seed: int
    minutes: float
    final: bool

    @property
    def name(self) -> str:
        """A name for files."""
        return f"{self.task}-{self.row}-{self.seed}-{self.minutes:g}{'-final' if self.final else ''}"


def settings_of(task: str, row: str) -> list[str]:
    """What a row of a task changes of the task's recipe as it is now."""
    changed = rows_of(task)[row]
    box = TASKS[task] if set(_BOARD) <= set(changed) else ()
    return [*_BEFORE.get(task, ()), *changed, *box]


def run(job: Job, folder: Path, evaluations: int = 1) -> Entry:
    """Train for the time of the job; what the last evaluation of the run found, and those before it as a curve."""
    from benchmarks import timed_training

    changed = settings_of(job.task, job.row)
    own = [word.partition(".")[2] for word in changed if word.startswith("dataset_args.")][-1:]  # the last one holds
    name = "-".join([job.task, *own, *(["final"] if job.final else [])])
    data = [f"dataset_args.output_dir={folder / 'data' / name}", *(() if job.final else _TO_CHOOSE_BY)]
    path = folder / "runs" / job.name
    ended = timed_training.train(
        job.task, path, job.minutes * 60, [*data, f"seed={job.seed}", *changed], slack=1.5, evaluations=evaluations
    )
    exact, rows = _on_mazes(path, folder, job.final) if job.task == "maze-small" else _last_evaluation(path)
    return {
        **job._asdict(),
        "exact": exact,
        "rows": rows,
        "updates": ended.updates,
        "processor_seconds": round(ended.seconds, 1),
        "epochs": ended.epochs,
        **({"curve": timed_training.curve(path)} if evaluations > 1 else {}),
        "settings": changed,
        "commit": commit_of("trm_cli", "benchmarks/*.py", "configs"),
    }


def _last_evaluation(run: Path) -> tuple[float, int]:
    """The share of exact answers, and of how many."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    records: list[Entry] = [record for line in lines if (record := json.loads(line))["kind"] == "eval"]
    return records[-1]["exact_accuracy"], records[-1]["count"]


def _on_mazes(run: Path, folder: Path, final: bool) -> tuple[float, int]:
    """The same, of the newest weights of a run on mazes of one size."""
    from dataset_builders import maze
    from trm_cli.workflows.scores.evaluate import run_evaluation
    from trm_cli.workflows.scores.evaluation_subject import EvaluationRequest

    seed, test = ("0", "1000") if final else ("1", "512")
    data = folder / "data" / f"mazes-{seed}"
    if maze.main([*_MAZES, "--seed", seed, "--test", test, "--output-dir", str(data)]):
        raise SystemExit(1)
    request = EvaluationRequest(run=str(run / "latest.pt"), data=(data,), steps=_MAZE_STEPS)
    found, _ = run_evaluation(request)
    return found["exact"]["value"], found["count"]


# --- Results ---


def table(entries: Sequence[Entry]) -> str:
    """Medians and ranges over seeds as Markdown; a job that was done again stands for what the code is now."""
    newest = {tuple(entry[field] for field in Job._fields): entry for entry in entries}
    groups: dict[tuple[str, str, float, bool], list[Entry]] = {}
    for entry in newest.values():
        groups.setdefault((entry["task"], entry["row"], entry["minutes"], entry["final"]), []).append(entry)
    lines = ["| task | row | minutes | seeds | updates | CPU-s | exact: median (range) |", "| --- |" + " --- |" * 6]
    for (task, row, minutes, final), found in sorted(groups.items()):
        exact = [100 * entry["exact"] for entry in found]
        spread = f" ({min(exact):.1f} to {max(exact):.1f})" if len(exact) > 1 else ""
        updates, seconds = (statistics.median(one[what] for one in found) for what in ("updates", "processor_seconds"))
        lines.append(
            f"| {task}{', test rows' if final else ''} | {row} | {minutes:g} | {len(found)} | {updates:,.0f} "
            f"| {seconds:.0f} | {statistics.median(exact):.1f} %{spread} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the jobs that are asked for, each result appended to the file at once."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("--task", choices=TASKS, default="sudoku-small")
    parser.add_argument("--row", nargs="+", help="rows, in the order they run (default: all of the task)")
    parser.add_argument("--seed", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="of the processor, for each run (default 8)")
    parser.add_argument("--evaluations", type=int, default=1, help="spread over the run, as a curve (default 1)")
    parser.add_argument(
        "--final",
        action="store_true",
        help="train on the recipe's dataset, score its test rows (maze-small: test mazes of 14x14)",
    )
    parser.add_argument("--table", action="store_true", help="print the results as Markdown, run nothing")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/learning"), help="data and runs")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="file of the results (default: the committed one)"
    )
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
    if options.table:
        print(table(read_results(options.results)))
        return 0
    rows = rows_of(options.task)
    if unknown := [row for row in options.row or () if row not in rows]:
        parser.error(f"{options.task} has no row {unknown[0]}: {', '.join(rows)}")
    for seed in options.seed:
        for row in options.row or rows:
            job = Job(options.task, row, seed, options.minutes, options.final)
            entry = run(job, options.out, options.evaluations)
            append_result(entry, options.results)
            print(json.dumps(entry), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
