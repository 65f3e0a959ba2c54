"""Call `trm` with mutated configurations and command lines, in this process, and count how it ends.

    python -m benchmarks.fuzz.commands                 # 5,000 calls, at most ten minutes
    python -m benchmarks.fuzz.commands --count 500 --seed 1

Half of the calls read a model file in which something was changed; the others are commands with arguments, flags and
overrides drawn from what commands take and from what nobody should write. Commands that would train or build for long
only plan.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer

from benchmarks.fuzz.fuzzing import Findings
from tests.support.boards import write_boards
from tests.support.commands import trm_here
from tests.support.mutations import FILE_MUTATIONS, TRAPS, mutated_override
from tests.support.runs import train
from trm_cli.app import create_app
from trm_cli.config.registry import SHIPPED

_MODELS = ("sudoku-4x4", "vision-unified", "trm-unified", "arc-1", "maze-hard", "text-optimized")
_STRANGE = (*TRAPS, "", " ", "\x00", "\x1b[31m", "\udcff", "x" * 5000, "10000000000000000000000", "nan", "../" * 200)
_VALUES = (
    *("run", "run/latest.pt", "data", "own.yaml", "loop", "pipe", "folder", "nowhere", "plan.json", "out.png"),
    *("1", "50%", "test", "cpu", "1.1..2....3....4", "sudoku-4x4", "trm_quickstart", "hidden_size"),
)
#: What would compute for long, or is slow by nature.
_LEFT_OUT = {("demo",), ("quickstart",), ("doctor",), ("build-dataset",), ("resume",), ("inspect-model",)}
_ALWAYS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("train",): ("--dry-run", "threads=1", "device=cpu"),
    ("evaluate",): ("--limit", "4", "--device", "cpu"),
    ("inspect-schedule",): ("--samples-per-epoch", "100"),
}


@dataclass(frozen=True)
class _Command:
    """A command: the words that name it, its flags (name, whether it takes a value), how many arguments it has."""

    words: tuple[str, ...]
    flags: tuple[tuple[str, bool], ...]
    arguments: int


def commands() -> list[_Command]:
    """All commands, as the program itself describes them."""
    return [one for one in _below(typer.main.get_command(create_app()), ()) if one.words not in _LEFT_OUT]


def _below(command: Any, words: tuple[str, ...]) -> Iterator[_Command]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _below(inner, (*words, name))
        return
    options = [one for one in command.params if one.param_type_name == "option"]
    flags = tuple((name, not one.is_flag) for one in options for name in one.opts if name != "--help")
    yield _Command(words, flags, len(command.params) - len(options))


def command_line(chance: random.Random, known: Sequence[_Command]) -> list[str]:
    """A command with arguments and flags, most of them possible, some of them not."""

    def word() -> str:
        return chance.choice(_VALUES if chance.random() < 0.7 else _STRANGE)

    one = chance.choice(known)
    line = [*one.words]
    line += [word() for _ in range(chance.randint(0, one.arguments + (chance.random() < 0.1)))]
    for name, takes_value in chance.sample(one.flags, min(len(one.flags), chance.randint(0, 3))):
        line += [name, word()] if takes_value else [name]
    if chance.random() < 0.3:
        line += [mutated_override(chance) for _ in range(chance.randint(1, 2))]
    if chance.random() < 0.1:
        line[chance.randrange(len(line))] = word()
    return [*line, *_ALWAYS.get(one.words, ())]


def changed_model(chance: random.Random, path: Path) -> list[str]:
    """Write a model file in which something was changed, and return a command line that reads it."""
    raw = (SHIPPED / "models" / f"{chance.choice(_MODELS)}.yaml").read_bytes()
    for _ in range(chance.randint(1, 3)):
        raw = chance.choice(FILE_MUTATIONS)(chance, raw) or b"x"
    path.write_bytes(raw)
    more = [mutated_override(chance)] if chance.random() < 0.2 else []
    readers = (
        ["configs", "show", path.name, *more],
        ["configs", "validate", path.name],
        ["inspect-schedule", path.name, "--samples-per-epoch", "100", *more],
        ["inspect-schedule", path.name, "--samples-per-epoch", "9999", "--json"],
    )
    return list(chance.choice(readers))


def make_folder(root: Path) -> None:
    """A dataset, a run of it, and what commands should not be pointed at."""
    train(write_boards(root / "data"), root / "run", stop_at_step=10)
    (root / "folder").mkdir()
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")


def fuzz(root: Path, numbers: range, seconds: float) -> Findings:
    """Make the calls of these numbers in `root`, until the time is over."""
    known, found, until = commands(), Findings(), time.monotonic() + seconds
    for number in numbers:
        chance = random.Random(number)
        of_file = chance.random() < 0.5
        words = changed_model(chance, root / "own.yaml") if of_file else command_line(chance, known)
        words = [word.replace("\0", "") for word in words]  # no system passes it on

        def call(words: Sequence[str] = words) -> subprocess.CompletedProcess[str]:
            with patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1.1..2\n"))):
                return trm_here(*words, cwd=root)

        found.call(
            " ".join(words[:2] if words[0] in ("configs", "checkpoints") else words[:1]), f"{number} {words}", call
        )
        if number % 500 == 499:
            print(f"{number + 1:,} calls, {len(found.faults)} faults", flush=True)
        if time.monotonic() > until:
            break
    return found


def main() -> int:
    """Run the fuzz; 0 when every call ended as documented."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first call")
    parser.add_argument("--seconds", type=float, default=600.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trm-fuzz-") as folder:
        make_folder(Path(folder))
        return fuzz(Path(folder), range(args.seed, args.seed + args.count), args.seconds).report()


if __name__ == "__main__":
    sys.exit(main())
