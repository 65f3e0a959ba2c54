"""Train one recipe with several seeds: ordinary runs `seed-N` in one directory, each a process, some at a time."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from trm_cli.ending_signals import die_with_parent, ending_signals, handled
from trm_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved

_POLL_SECONDS = 0.05
_MOST_SEEDS = 1000


@dataclass(frozen=True)
class SeedRun:
    """One of the runs. command: what trains it, or continues it."""

    seed: int
    path: Path
    command: Sequence[str]


def parse_seeds(text: str) -> list[int]:
    """Read `0,1,7`, or a number of seeds: `5` is 0 to 4. Raises UsageError."""
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and int(word) < 2**31 for word in words):
        raise UsageError(f"--seeds {text}: expected seeds with commas between them, or how many", hint="--seeds 0,1,2")
    numbers = [int(word) for word in words]
    if len(numbers) == 1:
        numbers = list(range(numbers[0]))
    if not 0 < len(set(numbers)) == len(numbers) <= _MOST_SEEDS:
        raise UsageError(f"--seeds {text}: expected 1 to {_MOST_SEEDS:,} seeds, each once", hint="--seeds 0,1,2")
    return numbers


def seed_runs(resolved: Resolved, seeds: Sequence[int], options: Sequence[str] = ()) -> list[SeedRun]:
    """The runs of a recipe in its `checkpoint_path`. options: of `trm train`. Raises UsageError for a seed besides."""
    from trm_cli.config.dump import override, override_key
    from trm_cli.training.run.groups import member
    from trm_cli.training.run_files import is_run

    if "seed" in map(override_key, resolved.overrides):
        raise UsageError("--seeds gives each run its seed: leave seed= out")
    group = Path(resolved.config.checkpoint_path)
    if is_run(group):
        raise UsageError(
            f"{group} is a run, not a directory for several", hint="name another: checkpoint_path=checkpoints/NAME"
        )
    train = _command(resolved)
    return [
        SeedRun(seed, path, [*train, f"seed={seed}", override("checkpoint_path", str(path)), *options])
        for seed in seeds
        for path in [member(group, seed)]
    ]


def dataset_command(resolved: Resolved) -> list[str]:
    """What builds the dataset that all runs share, before several begin at once."""
    return [*_command(resolved), "--dataset-only"]


def _command(resolved: Resolved) -> list[str]:
    from trm_cli.config.dump import override_key

    model = resolved.config.model if resolved.registry is None else resolved.registry.word
    kept = [str(word) for word in resolved.overrides if override_key(word) not in ("checkpoint_path", "model")]
    return [sys.executable, "-m", "trm_cli", "train", model, *kept]


def train_seeds(
    runs: Sequence[SeedRun], jobs: int, on_start: Callable[[SeedRun], None], on_line: Callable[[str], None]
) -> int:
    """Train the runs in order, `jobs` at a time, and return one exit status for all.

    A run that fails does not stop the others. A signal to end is passed on, and no further run is started. One at a
    time writes to this process's own streams; of several, on_line receives each line with its seed.
    """
    waiting, active, codes = list(runs), list[_Child](), list[int]()
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        for child in active:
            child.process.send_signal(number)

    with handled(forward, signal.SIGINT, *ending_signals()):
        try:
            while active or (waiting and not received):
                while waiting and len(active) < jobs and not received:
                    run = waiting.pop(0)
                    on_start(run)
                    active.append(_Child(run, on_line if jobs > 1 else None))
                for child in [child for child in active if child.process.poll() is not None]:
                    active.remove(child)
                    codes.append(child.ended())
                time.sleep(_POLL_SECONDS)
        finally:
            for child in active:
                child.process.kill()
                child.ended()
    failed = [code if code > 0 else 128 - code for code in codes if code]
    if received:
        return next((code for code in failed if code in (ExitCode.TERMINATED, ExitCode.INTERRUPTED)), 128 + received[0])
    return failed[0] if failed else ExitCode.DONE


class _Child:
    """The process of a run, in a session of its own: Ctrl-C reaches it exactly once, through us."""

    def __init__(self, run: SeedRun, on_line: Callable[[str], None] | None) -> None:
        pipe = None if on_line is None else subprocess.PIPE
        self.process = subprocess.Popen(
            run.command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=None if pipe is None else subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._pass_on, args=(run.seed, on_line), daemon=True)
        self._reader.start()

    def ended(self) -> int:
        """Its exit code, once it has ended and all its lines are passed on."""
        code = self.process.wait()
        self._reader.join()
        return code

    def _pass_on(self, seed: int, on_line: Callable[[str], None] | None) -> None:
        if self.process.stdout is None or on_line is None:
            return
        with self.process.stdout as lines:
            for line in lines:
                if line.strip():
                    on_line(f"seed {seed}: {line.rstrip()}")
