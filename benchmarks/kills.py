"""Kill a short run at random moments, continue it, and compare what it ends with to a run that was never stopped.

    python -m benchmarks.kills                     # 20 SIGKILL, 5 SIGINT, 5 SIGTERM
    python -m benchmarks.kills --kills 50 --arch trm_sudoku_att

Prints a line a kill and exits with 1 unless every final state (weights, EMA, optimizer, carry, metrics) is identical to
the bit.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RUN = ("epochs=8", "eval_interval=2", "checkpoint_interval=1", "log_interval=1", "global_batch_size=16", "threads=1")
SMALL = ("arch.hidden_size=32", "arch.halt_max_steps=4", "wandb=disabled", "device=cpu", "optimizer=adam_atan2")


def main() -> int:
    """Run the trials; 0 when all of them end as the reference does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="number of SIGKILL trials")
    parser.add_argument("--stops", type=int, default=5, help="number of trials for each of SIGINT and SIGTERM")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arch", default="trm_quickstart")
    parser.add_argument("overrides", nargs="*", help="further KEY=VALUE settings of the run")
    args = parser.parse_args()
    moments = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="trm-kills-") as folder:
        root = Path(folder)
        build_dataset(root / "data")
        base = [f"data_paths=[{root / 'data'}]", f"arch={args.arch}", *RUN, *SMALL, *args.overrides]
        started = time.monotonic()
        finish(command(root / "reference", base))
        print(f"reference: {last_step(root / 'reference')} steps in {time.monotonic() - started:.1f} s, uninterrupted")
        trials = [signal.SIGKILL] * args.kills + [signal.SIGINT] * args.stops + [signal.SIGTERM] * args.stops
        bad = 0
        for number, kind in enumerate(trials, 1):
            run = root / f"trial-{number}"
            at, code = interrupt(command(run, base), run, kind, moments, last_step(root / "reference"))
            finish(command(run, base))
            differences = compare(root / "reference", run)
            bad += bool(differences)
            verdict = "identical" if not differences else f"DIFFERENT: {', '.join(differences[:3])}"
            print(f"{number:3}  {kind.name}  after step {at:4}  exit {code:4}  continued: {verdict}", flush=True)
    print(f"{len(trials) - bad} of {len(trials)} interrupted runs ended identical to the uninterrupted one")
    return 1 if bad else 0


def build_dataset(folder: Path) -> None:
    """A small Sudoku set: 4x4 boards, quickly made."""
    flags = ["--box", "2", "2", "--train", "128", "--test", "64", "--clues", "6", "--num-aug", "8"]
    subprocess.run(
        [sys.executable, "-m", "dataset_builders.sudoku", "--output-dir", str(folder), *flags],
        check=True,
        capture_output=True,
    )


def command(run: Path, base: list[str]) -> list[str]:
    """The command line of a run in a folder of its own."""
    return [sys.executable, "-m", "trm_cli", "train", "sudoku-4x4", f"checkpoint_path={run}", *base]


def finish(line: list[str]) -> None:
    """Run to the end; raises CalledProcessError with the output shown."""
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        raise SystemExit(f"a run that nobody interrupted ended with {done.returncode}")


def interrupt(
    line: list[str], run: Path, kind: signal.Signals, moments: random.Random, total: int
) -> tuple[int, int | None]:
    """Start a run and send it a signal at a random moment: (last logged step at that moment, exit status)."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wanted = moments.randrange(total)
    pause = moments.uniform(0, 0.05)
    while process.poll() is None and last_step(run) < wanted:
        time.sleep(0.002)
    time.sleep(pause)
    at = last_step(run)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(kind)
    return at, process.wait()


def last_step(run: Path) -> int:
    """The last step in a run's metrics; 0 before the first."""
    path = run / "metrics.jsonl"
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4096))
        lines = [text for text in file.read().split(b"\n") if text.startswith(b'{"kind"') and text.endswith(b"}")]
    import json

    return json.loads(lines[-1])["step"] if lines else 0


def compare(reference: Path, run: Path) -> list[str]:
    """Names of everything that differs between two finished runs."""
    from trm_cli.training.checkpoint_file import load_checkpoint

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
