"""Kill a short run at random moments, continue it, and compare its end with that of an uninterrupted run.

    python -m benchmarks.kills                                     # 20 SIGKILL, 5 SIGINT, 5 SIGTERM, TRM with MLP
    python -m benchmarks.kills --kills 50 --model attention --stops 0
    python -m benchmarks.kills --kills 50 --model hesc             # with replay, Q-learning and memory
    python -m benchmarks.kills --kills 50 --processes 2            # the launcher or one of the processes is killed

Every run is interrupted several times (--per-run) before it may end. A third of the kills each falls at any moment,
while a checkpoint is written, and while an evaluation is under way. Prints a line an interruption and exits with 1
unless every final state (weights, EMA, optimizer, carry, metrics) is identical to the bit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Parts that the smallest capsule model leaves out unless they are asked for.
EVERY_PART = (
    *(f"arch.enable_{part}=true" for part in ("latent_planning", "dqn", "expansion", "mtp")),
    "arch.text_workspace=true",
)


def build_boards(folder: Path) -> None:
    """A small Sudoku set: 4x4 boards, quickly made."""
    flags = ["--box", "2", "2", "--train", "128", "--test", "64", "--clues", "6", "--num-aug", "8"]
    _build("sudoku", folder, flags)


def build_canvases(folder: Path) -> None:
    """A small stream of ARC pairs and stories."""
    flags = ["--sources", "kaggle/combined", "stories", "--limits", "stories=60", "kaggle/combined=12", "--augment"]
    flags += ["--augmentations", "4", "--test-share", "0.1", "--weights", "kaggle/combined=2", "--workers", "1"]
    _build("streaming_builder", folder, flags)


def _build(builder: str, folder: Path, flags: list[str]) -> None:
    line = [sys.executable, "-m", f"dataset_builders.{builder}", "--output-dir", str(folder), *flags]
    subprocess.run(line, check=True, capture_output=True)


@dataclass(frozen=True)
class Case:
    """A model to train, small enough for a processor, and the data for it."""

    model: str
    build: Callable[[Path], None]
    settings: tuple[str, ...]


COMMON = (
    "log_interval=1",
    "threads=1",
    "wandb=disabled",
    "device=cpu",
    "optimizer=adam_atan2",
    "checkpoint_interval=1",
)
BOARDS = (
    "optimizer=adam_atan2", "epochs=8", "eval_interval=2", "global_batch_size=16", "arch.hidden_size=32",
    "arch.halt_max_steps=4",
)  # fmt: skip
CASES = {
    "mlp_t": Case("sudoku-4x4", build_boards, ("arch=trm_quickstart", *BOARDS)),
    "attention": Case(
        "sudoku-4x4", build_boards, ("arch=trm_sudoku_att", *BOARDS, "arch.num_heads=2", "arch.puzzle_emb_ndim=16")
    ),
    "hesc": Case(
        "vision-unified",
        build_canvases,
        (
            "arch=multimodal_hesc_mini", *EVERY_PART,
            "optimizer=adam_atan2", "epochs=4", "eval_interval=1",
            "global_batch_size=8", "lr_warmup_ratio=0", "arch.hidden_size=16", "arch.halt_max_steps=3",
            "arch.token_size=16", "arch.num_heads=2", "arch.L_layers=1", "arch.text_layers=1",
            "arch.puzzle_emb_ndim=16",
            "arch.board_side=12", "arch.q_hidden_dim=16", "arch.replay_capacity=64", "arch.replay_min_size=8",
            "arch.latent_planning_paths=2",
        ),
    ),
}  # fmt: skip
#: What a kill waits for, besides its step.
MOMENTS = ("any", "save", "evaluation")


def main() -> int:
    """Run the trials; 0 when all of them end as the reference does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="number of SIGKILLs")
    parser.add_argument("--stops", type=int, default=5, help="number of SIGINTs, and of SIGTERMs")
    parser.add_argument("--per-run", type=int, default=5, help="interruptions that one run sees")
    parser.add_argument("--model", choices=sorted(CASES), default="mlp_t")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("overrides", nargs="*", help="further KEY=VALUE settings of the run")
    args = parser.parse_args()
    case = CASES[args.model]
    interruptions = [(signal.SIGKILL, MOMENTS[number % 3]) for number in range(args.kills)]
    interruptions += [(kind, "any") for kind in (signal.SIGINT, signal.SIGTERM) for _ in range(args.stops)]
    groups = [interruptions[start : start + args.per_run] for start in range(0, len(interruptions), args.per_run)]
    with tempfile.TemporaryDirectory(prefix="trm-kills-") as folder:
        root = Path(folder)
        case.build(root / "data")
        words = [f"data_paths=[{root / 'data'}]", *COMMON, *case.settings, *args.overrides]
        reference = root / "reference"
        started = time.monotonic()
        finish(command(case.model, reference, words, args.processes))
        total = last_step(reference)
        print(f"{args.model}: {total} steps in {time.monotonic() - started:.1f} s, uninterrupted", flush=True)
        chance = random.Random(args.seed)
        reach = max(2, 2 * total // args.per_run)  # so that the interruptions of a run spread over it
        good = 0
        for number, group in enumerate(groups, 1):
            run = root / f"trial-{number}"
            line = command(case.model, run, words, args.processes)
            for kind, moment in group:
                at, code = interrupt(line, run, kind, moment, chance, total, args.processes, reach)
                print(f"{number:3}  {kind.name}  {moment:10}  after step {at:4}  exit {code:4}", flush=True)
            finish(line)
            differences = compare(reference, run)
            good += not differences
            print(f"{number:3}  {'identical' if not differences else 'DIFFERENT: ' + ', '.join(differences[:3])}")
    print(f"{len(interruptions)} interruptions; {good} of {len(groups)} runs ended identical to the uninterrupted one")
    return 0 if good == len(groups) else 1


def command(model: str, run: Path, words: list[str], processes: int) -> list[str]:
    """The command line of a run in a folder of its own."""
    several = ["--nproc-per-node", str(processes)] if processes > 1 else []
    return [sys.executable, "-m", "trm_cli", "train", model, f"checkpoint_path={run}", *several, *words]


def finish(line: list[str]) -> None:
    """Run to the end; raises CalledProcessError with the output shown."""
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        raise SystemExit(f"a run that nobody interrupted ended with {done.returncode}")


def interrupt(
    line: list[str],
    run: Path,
    kind: signal.Signals,
    moment: str,
    chance: random.Random,
    total: int,
    processes: int,
    reach: int,
) -> tuple[int, int]:
    """Start a run and send it a signal: (last logged step at that moment, exit status).

    moment: "any" time after a random step, or from there on during a "save" or an "evaluation".
    """
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # A later step than the last interruption saw, and for a save or an evaluation one that still comes.
    done, end = last_step(run), total - total // 8 if moment != "any" else total
    wanted = chance.randrange(done, min(end, done + reach)) if done < end else done
    pause = chance.uniform(0, 0.05 if moment == "any" else 0.003)
    while process.poll() is None and last_step(run) < wanted:
        time.sleep(0.002)
    while process.poll() is None and not is_at(run, moment):
        time.sleep(0.0005)
    time.sleep(pause)
    at = last_step(run)
    ranks = children(process.pid)
    target = chance.choice([process.pid, *ranks]) if processes > 1 and kind is signal.SIGKILL else process.pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(target, kind)
    code = process.wait()
    while any(Path(f"/proc/{rank}").exists() for rank in ranks):  # they end with their launcher, a moment later
        time.sleep(0.02)
    return at, code


def children(process: int) -> list[int]:
    """The processes that a process has started (Linux)."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    try:
        return [int(word) for word in listed.read_text().split()]
    except OSError:
        return []


def is_at(run: Path, moment: str) -> bool:
    """Whether a run is at such a moment, as far as its files show it."""
    if moment == "save":
        return next(run.glob(".step_*.tmp"), None) is not None
    if moment == "evaluation":
        last = last_record(run)
        plan = json.loads((run / "plan.json").read_text()) if last else {}
        return last is not None and last["kind"] == "train" and last["step"] in plan["evaluations"]["steps"]
    return True


def last_step(run: Path) -> int:
    """The last step in a run's metrics; 0 before the first."""
    last = last_record(run)
    return 0 if last is None else int(last["step"])


def last_record(run: Path) -> dict[str, Any] | None:
    """Return the last complete record of a run's metrics."""
    path = run / "metrics.jsonl"
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 8192))
        lines = [text for text in file.read().split(b"\n") if text.startswith(b'{"kind"') and text.endswith(b"}")]
    return json.loads(lines[-1]) if lines else None


def compare(reference: Path, run: Path) -> list[str]:
    """Names of everything that differs between two finished runs."""
    from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint

    differences = []
    if (reference / "metrics.jsonl").read_bytes() != (run / "metrics.jsonl").read_bytes():
        differences.append("metrics.jsonl")
    for link in ("latest.pt", "best.pt"):
        if (reference / link).resolve().name != (run / link).resolve().name:
            differences.append(f"{link} points elsewhere")
            continue
        theirs, _ = load_checkpoint((reference / link).resolve())
        ours, _ = load_checkpoint((run / link).resolve())
        differences.extend(f"{link}: {name}" for name in unequal(theirs, ours))
    return differences


def unequal(left: Any, right: Any, name: str = "state") -> list[str]:
    """Paths of leaves that are not identical to the bit."""
    import torch

    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        same = left.dtype == right.dtype and left.shape == right.shape and torch.equal(as_bytes(left), as_bytes(right))
        return [] if same else [name]
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return [f"{name}: other keys"]
        return [path for key in left for path in unequal(left[key], right[key], f"{name}.{key}")]
    if isinstance(left, list | tuple) and isinstance(right, list | tuple) and len(left) == len(right):
        return [path for i, pair in enumerate(zip(left, right, strict=True)) for path in unequal(*pair, f"{name}.{i}")]
    return [] if type(left) is type(right) and left == right else [name]


def as_bytes(tensor: Any) -> Any:
    """A tensor's bits, so that NaN equals NaN and 0.0 differs from -0.0."""
    import torch

    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


if __name__ == "__main__":
    sys.exit(main())
