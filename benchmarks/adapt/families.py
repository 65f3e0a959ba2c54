"""Train a small TRM on generated tasks, adapt it to tasks that it has not seen, and count what it answers.

    python -m benchmarks.adapt.families FOLDER                     # the source, then all weights, seed 0
    python -m benchmarks.adapt.families FOLDER --ways all table zero --seeds 0 1 2
    python -m benchmarks.adapt.families FOLDER --show              # the tables of what is measured so far

Ten of the twenty families of benchmarks/hesc_card: four tasks of each with 98 pairs are the source's, two new ones of
each with five demonstrations and two test inputs are adapted to. Everything is one thread, and time is processor time
of the process that learns: a stop at T minutes is what learning and one vote together had within T minutes. Runs in
FOLDER are continued; results are added to benchmarks/adapt/families.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.hesc_card.families import FAMILIES, generator
from benchmarks.hesc_card.family import Task
from benchmarks.hesc_card.write_tasks import write_tasks
from trm_cli.workflows.adapt.request import AdaptObserver, AdaptRequest

RESULTS = Path(__file__).with_suffix(".json")
CHOSEN = (
    "recolour", "outline", "denoise", "gravity", "rays", "crosses", "connect", "complete_symmetry", "continue_pattern",
    "halves",
)  # fmt: skip
#: Sides of the grids, and of the canvas.
SIDES, CANVAS = (3, 5), 6
SOURCE_TASKS, SOURCE_PAIRS, NEW_TASKS, DEMONSTRATIONS, TESTS = 4, 98, 2, 5, 2
SOURCE_WORDS = (
    "arch.hidden_size=64", "arch.num_heads=4", "arch.puzzle_emb_ndim=128", "arch.puzzle_emb_len=2", "arch.H_cycles=1",
    "arch.L_cycles=1", "arch.L_layers=2", "arch.halt_max_steps=2", "global_batch_size=32", "threads=1", "device=cpu",
    "precision=float32", "wandb=disabled", "optimizer=adamw", "lr=2e-3", "lr_min_ratio=0.1", "lr_warmup_steps=null",
    "lr_warmup_ratio=0.03", "ema_rate=0.99", "checkpoint_minutes=1", "log_interval=50", "eval_interval={epochs}",
    "epochs={epochs}",
)  # fmt: skip
#: What is learned, and with which row a new task begins.
WAYS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "all": ((), "mean"),
    "table": (("freeze_weights=true",), "mean"),
    "zero": ((), "zero"),
}
ADAPT_WORDS = ("lr=1e-3", "lr_min_ratio=1.0", "lr_warmup_steps=100", "ema_rate=0.99", "puzzle_emb_lr=2e-2")
MINUTES = (2, 5, 10)


def new_tasks(seed: int, count: int) -> dict[str, Task]:
    """`count` tasks of each family: NAME-0, NAME-1, ..."""
    families = {family.name: family for family in FAMILIES}
    return {
        f"{name}-{number}": families[name].new_task(generator(seed, name, number))
        for name in CHOSEN
        for number in range(count)
    }


def main() -> int:
    """Make the source, run what is asked for, show the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["all"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=52, help="of the source: 122 updates each")
    parser.add_argument("--updates", type=int, default=9000, help="of an adaptation, in ten parts")
    parser.add_argument("--augmentations", type=int, default=16)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("words", nargs="*", help="further KEY=VALUE settings of the adaptations")
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    if args.one:
        way, seed = args.one.split("/")
        adapt_one(args.folder, way, int(seed), args.updates, args.augmentations, tuple(args.words))
        return 0
    if not args.show:
        make_source(args.folder, args.epochs)
        for seed in args.seeds:
            for way in args.ways:
                flags = ["--updates", str(args.updates), "--augmentations", str(args.augmentations), *args.words]
                run("benchmarks.adapt.families", str(args.folder), "--one", f"{way}/{seed}", *flags)
    show(json.loads(RESULTS.read_text()) if RESULTS.is_file() else [])
    return 0


def run(module: str, *words: str, at: Path | None = None) -> None:
    """Run a module in a process of one thread; raises CalledProcessError."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-m", module, *words], check=True, env=environment, cwd=at)


def make_source(folder: Path, epochs: int) -> None:
    """Train the source, or continue it."""
    tasks, run_path = folder / "source", folder / "checkpoints/source"
    if not (tasks / "arc-agi_training_challenges.json").is_file():
        write_tasks(
            tasks, new_tasks(1, SOURCE_TASKS), pairs=SOURCE_PAIRS, tests=4, allowed=SIDES, seed=1, subset="training"
        )
    flags = [
        "--subsets",
        "training",
        "--test-set-name",
        "training",
        "--allow-overlap",
        "--num-aug",
        "32",
        "--pairs-apart",
    ]
    data = folder / "data-source"
    run("dataset_builders.arc", "--source", str(tasks), "--output-dir", str(data), "--side", str(CANVAS), *flags)
    words = [word.format(epochs=epochs) for word in SOURCE_WORDS]
    run("trm_cli", "train", "arc-1", f"data_paths=[{data}]", f"checkpoint_path={run_path}", *words)


class Scored(AdaptObserver):
    """Votes whenever the training stops, and notes what is right, and the processor time of learning and of the vote.

    noted: earlier stops of this run, by update; the time of a process that was killed is lost from its last stop on.
    """

    watches = True

    def __init__(self, tasks: Path, file: Path, about: Mapping[str, Any]) -> None:
        self.tasks, self.file, self.about = tasks, file, about
        self.noted: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        self._learned = max((one["learning_seconds"] for one in self.noted.values()), default=0.0)
        self._since = time.process_time()

    def stopped(self, step: int, run: Path) -> None:
        """Vote, and note it."""
        from trm_cli.data.arc.challenges import read_challenges
        from trm_cli.data.files.durable import write_atomically
        from trm_cli.workflows.adapt.answers.submission import voted_inputs
        from trm_cli.workflows.adapt.answers.voting import vote

        self._learned += time.process_time() - self._since
        began = time.process_time()
        folder = self.file.parent / f"votes-{step}"
        cast = vote(run, folder, votes=None, device="cpu", enough=lambda: False, observer=AdaptObserver())
        right: dict[str, list[bool]] = {}
        for one in voted_inputs(read_challenges(self.tasks, CANVAS), cast.ballot):
            right.setdefault(one.task, []).append(one.found(2))
        self.noted[str(step)] = {
            "learning_seconds": self._learned,
            "vote_seconds": time.process_time() - began,
            "pass_2": sum(sum(found) / len(found) for found in right.values()) / len(right),
            "right": {task: f"{sum(found)}/{len(found)}" for task, found in right.items()},
        }
        write_atomically(self.file, json.dumps(self.noted, indent=1).encode())
        add_result({**self.about, "stops": self.noted})
        solved = sum(map(all, right.values()))
        print(
            f"update {step:,}: {self._learned:.0f} s, vote {time.process_time() - began:.0f} s: "
            f"pass@2 {self.noted[str(step)]['pass_2']:.1%}, {solved} of {len(right)} tasks whole",
            flush=True,
        )
        self._since = time.process_time()


def adapt_one(folder: Path, way: str, seed: int, updates: int, augmentations: int, further: tuple[str, ...]) -> None:
    """Adapt to the new tasks of a seed in one way, and add what is right at each stop to the results."""
    from trm_cli.workflows.adapt.adapt import adapt
    from trm_cli.workflows.adapt.settings import find_source

    tasks = folder / f"new-{seed}"
    file = tasks / "arc-agi_unseen_challenges.json"
    if not file.is_file():
        made = new_tasks(2 + seed, NEW_TASKS)
        write_tasks(tasks, made, pairs=DEMONSTRATIONS, tests=TESTS, allowed=SIDES, seed=2 + seed, subset="unseen")
    os.chdir(folder)
    words, rows = WAYS[way]
    words = (*ADAPT_WORDS, f"seed={seed}", *words, *further)
    settings = {"updates": updates, "augmentations": augmentations, "words": list(words), "rows": rows}
    curve = folder / f"curve-{way}-{seed}-{abs(hash_of(settings)) % 10**6:06d}.json"
    step = int(find_source("source").sealed.summary["step"])
    observer = Scored(file, curve, {"way": way, "seed": seed, "source_step": step, **settings})
    request = AdaptRequest(
        run="source", tasks=file, updates=updates, augmentations=augmentations, votes=1, rows=rows, words=words
    )
    adapt(request, observer)


def add_result(found: Mapping[str, Any]) -> None:
    """Put the stops of a run into the results, in the place of those that are there."""
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    known = [one for one in known if {**one, "stops": 0} != {**found, "stops": 0}]
    RESULTS.write_text(json.dumps([*known, found], indent=1) + "\n")


def hash_of(settings: Mapping[str, Any]) -> int:
    """A number for settings, the same in every process."""
    import hashlib

    return int(hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8], 16)


def within(stops: Mapping[str, Any], minutes: float) -> Mapping[str, Any] | None:
    """The last stop whose learning and vote took at most so many minutes; None where there is none."""
    return next(
        (
            one
            for _, one in sorted(stops.items(), key=lambda item: -int(item[0]))
            if one["learning_seconds"] + one["vote_seconds"] <= 60 * minutes
        ),
        None,
    )


def show(results: list[dict[str, Any]]) -> None:
    """Print pass@2 by time, and by family at the last time."""
    for one in results:
        found = {minutes: within(one["stops"], minutes) for minutes in MINUTES}
        shares = [f"{at} min {'-' if stop is None else format(stop['pass_2'], '.1%')}" for at, stop in found.items()]
        about = f"{one['way']}, seed {one['seed']}, source of {one['source_step']:,} updates"
        print(f"{about}, {' '.join(one['words'])}: {', '.join(shares)}")
        last = found[MINUTES[-1]]
        if last is None:
            continue
        for family in CHOSEN:
            right = [text for task, text in last["right"].items() if task.rpartition("-")[0] == family]
            print(f"  {family:18} {' '.join(right)}")


if __name__ == "__main__":
    sys.exit(main())
