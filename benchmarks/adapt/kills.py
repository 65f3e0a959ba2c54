"""Kill `trm adapt` at random moments, continue it, and check what it leaves.

    python -m benchmarks.adapt.kills                              # 20 SIGKILLs of a fixed plan; 20 budgets, each killed
    python -m benchmarks.adapt.kills --kills 5 --budgets 0
    python -m benchmarks.adapt.kills --kills 0 --budgets 1 --budget 300 --tasks 40

With --updates the submission has to be that of an uninterrupted run, to the byte. With --budget a run is killed once
and continued: the seconds of both processes together have to end within the budget, with a submission that is valid by
a checker of its own. Prints a line a run, and exits with 1 where one fails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SMALLEST = (
    "arch.hidden_size=8", "arch.num_heads=1", "arch.puzzle_emb_ndim=8", "arch.puzzle_emb_len=1", "arch.H_cycles=1",
    "arch.L_cycles=1", "arch.L_layers=1", "arch.halt_max_steps=1", "global_batch_size=2", "threads=1", "device=cpu",
    "precision=float32", "wandb=disabled", "epochs=1", "eval_interval=1",
)  # fmt: skip
RUN = Path("checkpoints/source-adapt-new")
DAMAGED = "task-damaged"


def main() -> int:
    """Run the trials; 0 where all of them hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs of a run with a fixed plan")
    parser.add_argument("--updates", type=int, default=80, help="of the fixed plan")
    parser.add_argument("--budgets", type=int, default=20, help="runs with a budget, each killed once")
    parser.add_argument("--budget", type=float, default=45, help="seconds")
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="trm-adapt-kills-") as folder:
        home = Path(folder)
        make_source(home, args.tasks)
        good = not args.kills or fixed_plan(home, args.kills, args.updates, chance)
        for number in range(1, args.budgets + 1):
            good &= budget(home, number, args.budget, chance)
    print("all hold" if good else "FAILED")
    return 0 if good else 1


def trm(home: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a command of one thread in `home`."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    line = [sys.executable, "-m", "trm_cli", *words]
    return subprocess.Popen(line, cwd=home, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def task(seed: int, tests: int) -> dict[str, Any]:
    """Grids that are mirrored, two demonstrations and some test inputs without outputs."""
    random = np.random.default_rng(seed)
    grids = [random.integers(0, 10, (2, 3)) for _ in range(2 + tests)]
    shown = [{"input": grid.tolist(), "output": np.fliplr(grid).tolist()} for grid in grids]
    return {"train": shown[:2], "test": [{"input": pair["input"]} for pair in shown[2:]]}


def make_source(home: Path, tasks: int) -> None:
    """Train a network of 8 numbers a position on two tasks, and write the new ones, one of them damaged."""
    known = {name: task(seed, 1) for seed, name in enumerate(("one", "two"))}
    (home / "known").mkdir()
    (home / "known/arc-agi_training_challenges.json").write_text(json.dumps(known))
    data = {"source": "known", "subsets": "[training]", "test_set_name": "training", "num_aug": 1, "output_dir": "data"}
    words = [f"dataset_args.{key}={value}" for key, value in data.items()]
    if trm(home, "train", "arc-1", *SMALLEST, *words, "checkpoint_path=checkpoints/source").wait():
        raise SystemExit("the source could not be trained")
    new = {f"task-{number}": task(number + 10, 1 + number % 3) for number in range(tasks)}
    (home / "new_challenges.json").write_text(json.dumps({**new, DAMAGED: {"train": 7, "test": [{"input": [[1]]}]}}))


def fixed_plan(home: Path, kills: int, updates: int, chance: random.Random) -> bool:
    """Kill a run again and again at a random moment of what an uninterrupted one takes, and compare at the end."""
    line = ["adapt", "source", "new_challenges.json", "--updates", str(updates), "--augmentations", "8"]
    line += ["checkpoint_minutes=0.02"]
    began = time.monotonic()
    if trm(home, *line).wait():
        raise SystemExit("the run that nobody interrupted has failed")
    whole, wanted = time.monotonic() - began, (home / RUN / "submission.json").read_bytes()
    print(f"{updates} updates in {whole:.1f} s, uninterrupted", flush=True)
    done, number, good = 0, 0, True
    while done < kills:
        number += 1
        shutil.rmtree(home / RUN)
        while done < kills:
            process = trm(home, *line)
            try:
                process.wait(chance.uniform(0.2, 1.0) * whole)
                break  # it came to its end first
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                done += 1
                print(f"run {number}, kill {done}: {state(home)}", flush=True)
        if trm(home, *line).wait() or (home / RUN / "submission.json").read_bytes() != wanted:
            good = False
        print(f"run {number}: {'the same submission' if good else 'ANOTHER SUBMISSION'}", flush=True)
    return good


def state(home: Path) -> str:
    """How far a run has come, by its files."""
    run = home / RUN
    if any((run / "votes").glob("*/batch-*")):
        return "in the vote"
    metrics = run / "metrics.jsonl"
    lines = metrics.read_text().count("\n") if metrics.is_file() else 0
    kept = sorted(run.glob("step_*.pt"))
    return f"in training, {lines} lines, {len(kept)} checkpoints" if lines or kept else "before the training"


def budget(home: Path, number: int, seconds: float, chance: random.Random) -> bool:
    """Kill a run with a budget once at a random moment, continue it, and check its time and its submission."""
    shutil.rmtree(home / RUN, ignore_errors=True)
    line = ["adapt", "source", "new_challenges.json", "--budget", f"{seconds:g}s", "--augmentations", "8"]
    moment, began = chance.uniform(0.05, 0.9) * seconds, time.monotonic()
    process = trm(home, *line)
    try:
        process.wait(moment)
        where = "it had ended"
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        where = state(home)
        if not (home / RUN / "clock.json").is_file():
            where, began = "before the run was there to count in", time.monotonic()
    code = trm(home, *line).wait()
    used = time.monotonic() - began
    wrong = invalid(home / "new_challenges.json", home / RUN / "submission.json")
    good = not code and not wrong and used <= seconds
    print(
        f"budget {number}: killed after {moment:.1f} s ({where}); {used:.1f} s of {seconds:g} s in all, "
        f"{wrong or 'valid'}{'' if good else ', FAILED'}",
        flush=True,
    )
    return good


def invalid(tasks: Path, submission: Path) -> str:
    """What is wrong with a submission, read without the code that writes it; nothing where it is valid."""
    try:
        wanted, found = json.loads(tasks.read_text()), json.loads(submission.read_text())
    except (OSError, ValueError) as error:
        return str(error)
    if list(wanted) != list(found):
        return "other tasks, or another order"
    for name, asked in wanted.items():
        if len(found[name]) != len(asked["test"]):
            return f"{name}: {len(found[name])} answers to {len(asked['test'])} test inputs"
        for one in found[name]:
            grids = list(one.values())
            if list(one) != ["attempt_1", "attempt_2"] or not all(map(is_grid, grids)):
                return f"{name}: {str(one)[:60]} is not two grids"
    return ""


def is_grid(grid: object) -> bool:
    """Whether it is a rectangle of 1x1 to 30x30 colours."""
    return (
        isinstance(grid, list)
        and 1 <= len(grid) <= 30
        and all(isinstance(row, list) and len(row) == len(grid[0]) and 1 <= len(row) <= 30 for row in grid)
        and all(type(cell) is int and 0 <= cell <= 9 for row in grid for cell in row)
    )


if __name__ == "__main__":
    sys.exit(main())
