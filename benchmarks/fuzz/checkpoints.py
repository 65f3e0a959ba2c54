"""Give commands checkpoints with a right checksum and wrong content, and count how they end.

    python -m benchmarks.fuzz.checkpoints                 # 500 checkpoints
    python -m benchmarks.fuzz.checkpoints --count 2000 --seed 1

Each checkpoint is one of a real run in which one thing was changed: something of another type, another shape, other
numbers, something more or less, in the state or in the summary. It is the newest of its run, so `resume` may go on
from the one before; one of `list`, `evaluate`, `export` and `load_checkpoint=` in turn names it. Prints how often each
command ended with which exit code, the slowest call, and whatever is not documented: a traceback, more than
10 processor seconds. Exits with 1 if there was any.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from tests.support.boards import write_boards
from tests.support.commands import trm_here
from tests.support.runs import TINY_RUN, train
from tests.support.wrong_content import write_wrong, wrong_states
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.training.checkpoint.store import CheckpointStore

_LIMIT_SECONDS = 10.0
_DOCUMENTED = {0, 1, 2, 3, 4, 75, 130}
_TABLE = "arch.puzzle_emb_ndim=16"


def main() -> int:
    """Run the cases; 0 when every call ended as documented."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="number of checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    ends: Counter[tuple[str, int]] = Counter()
    faults: list[str] = []
    slowest, used = 0.0, 0
    with tempfile.TemporaryDirectory(prefix="trm-fuzz-") as folder:
        root = Path(folder)
        train(write_boards(root / "data", identifiers=3), root / "run", _TABLE, stop_at_step=10)
        state, summary = load_checkpoint(CheckpointStore(root / "run").path(10))
        cases = wrong_states(state, summary, random.Random(args.seed))
        while used < args.count:
            told, wrong, about = next(cases)
            run = root / "wrong"
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(root / "run", run, symlinks=True)
            newest = CheckpointStore(run).path(10)
            if not write_wrong(newest, wrong, about):
                continue
            used += 1
            commands = _commands(root, run, newest)
            readers = [name for name in commands if name != "resume"]
            for name in (readers[used % len(readers)], "resume"):
                words = commands[name]
                started = time.process_time()
                try:
                    done = trm_here(*words, cwd=root)
                    code, output = done.returncode, done.stderr
                except Exception as error:  # noqa: BLE001 - whatever is no exit of a command is what is looked for
                    code, output = -1, f"Traceback: {type(error).__name__}: {error}"
                seconds = time.process_time() - started
                slowest = max(slowest, seconds)
                ends[name, code] += 1
                if code not in _DOCUMENTED or "Traceback" in output or seconds > _LIMIT_SECONDS:
                    faults.append(
                        f"{name}: {told}: exit {code}, {seconds:.1f} s of the processor: {output.strip()[-200:]}"
                    )
                    print(faults[-1], flush=True)
            if used % 50 == 0:
                print(f"{used} checkpoints, {sum(ends.values())} calls, {len(faults)} faults", flush=True)
    for (name, code), count in sorted(ends.items()):
        print(f"{name:10} exit {code:3}: {count}")
    print(f"slowest call {slowest:.2f} s; {len(faults)} faults")
    return 1 if faults else 0


def _commands(root: Path, run: Path, newest: Path) -> dict[str, list[str]]:
    """The command lines, by name; the one that changes the run comes last."""
    other = root / "other"
    shutil.rmtree(other, ignore_errors=True)
    data = f"data_paths=[{root / 'data'}]"
    start = ["train", "sudoku-4x4", "arch=trm_quickstart", data, *TINY_RUN, _TABLE, "--stop-at-step", "12"]
    return {
        "list": ["checkpoints", "list", str(run)],
        "evaluate": ["evaluate", str(newest), "--data", str(root / "data"), "--limit", "4"],
        "export": ["checkpoints", "export", str(newest), "--out", str(root / "weights.safetensors")],
        "start": [*start, f"checkpoint_path={other}", f"load_checkpoint={newest}"],
        "resume": ["resume", str(run), "--stop-at-step", "12"],
    }


if __name__ == "__main__":
    sys.exit(main())
