"""Give every builder hostile sources, in this process, and count how it ends.

    python -m benchmarks.fuzz.sources                 # 400 sources
    python -m benchmarks.fuzz.sources --count 1000 --seed 7

A source is a file or a folder of nonsense: JSON that is nested, huge, repeated or cut, wrong encodings, archives that
are none, pipes, loops of links, folders in the place of files, names that cannot be printed. Each is given to one of
the flags of one builder that name a source.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.fuzz.fuzzing import Findings
from dataset_builders import arc, maze, streaming_builder, sudoku, text

Builder = Callable[[list[str]], int]
_FEW = ("--train", "2", "--test", "1", "--num-aug", "1")
#: A builder, its flags with `{}` for the source, and how files have to be called for it to read them.
TARGETS: dict[str, tuple[Builder, tuple[str, ...], tuple[str, ...]]] = {
    "text": (text.main, ("--source", "{}"), ("a.txt", "a.jsonl", "a.json", "a.parquet", "a.csv", "a.py")),
    "text field": (text.main, ("--source", "{}", "--text-field", "text"), ("a.jsonl", "a.ndjson", "a.parquet")),
    "tokenizer": (text.main, ("--limit", "30", "--tokenizer", "{}/tokenizer.json"), ("tokenizer.json",)),
    "stream text": (streaming_builder.main, ("--sources", "text:{}"), ("a.txt", "a.jsonl", "a.json", "a.parquet")),
    "stream stories": (
        streaming_builder.main,
        ("--sources", "tinystories", "--tinystories-path", "{}"),
        ("a.txt", "a.jsonl", "a.parquet"),
    ),
    "stream pictures": (streaming_builder.main, ("--sources", "images:{}"), ("labels.csv", "cat/a.png", "dog/b.jpg")),
    "stream arc": (streaming_builder.main, ("--sources", "arc:{}"), ("x_training_challenges.json", "training/t.json")),
    "arc": (
        arc.main,
        ("--source", "{}", "--num-aug", "1"),
        ("x_training_challenges.json", "x_training_solutions.json", "training/t.json", "evaluation/u.json"),
    ),
    "sudoku": (sudoku.main, ("--source", "{}", "--box", "2", "2", *_FEW), ("train.csv", "test.csv")),
    "sudoku file": (sudoku.main, ("--source", "{}/a.csv", "--box", "2", "2", *_FEW), ("a.csv",)),
    "maze": (maze.main, ("--source", "{}", *_FEW), ("train.csv", "test.csv")),
}
_PAIR = {"input": [[1, 2], [3, 4]], "output": [[1]]}
_GRIDS: tuple[object, ...] = (
    *([], [[]], [[10]], [[-1]], [["a"]], [[1.5]], [[True]], [[10**30]], [[1], [1, 2]], "x", None, {"a": 1}),
    *([[0] * 40] * 40, [[[1]]], [[1]] * 5000),
)


def contents(chance: random.Random) -> bytes:
    """The content of a file, some of it nearly right."""
    task = {"train": [_PAIR, {**_PAIR, chance.choice(("input", "output")): chance.choice(_GRIDS)}], "test": [_PAIR]}
    board = "1234341221434321"
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: b"",
        lambda: b"\x00" * chance.randrange(1, 5000),
        lambda: chance.randbytes(chance.randrange(1, 5000)),
        lambda: b"[" * 100_000,
        lambda: b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        lambda: b'{"text": ' + b"9" * 10_000 + b"}",
        lambda: b'{"text": "a", "text": "b"}\n' * 20,
        lambda: b'{"text": "\\ud800 half a character, and some more text"}\n' * 40,
        lambda: b'{"text": null}\n{"text": 3}\n[1]\n"x"\n{}',
        lambda: "\n".join(json.dumps({"text": f"story {n} {'x' * n}"}) for n in range(80)).encode(),
        lambda: ("\ufeff" + "caf\u00e9 " * 500).encode(chance.choice(("utf-8", "utf-16", "latin-1")), "replace"),
        lambda: b"PK\x03\x04" + chance.randbytes(500),
        lambda: b"PAR1" + chance.randbytes(500) + b"PAR1",
        lambda: b"\x93NUMPY\x01\x00" + chance.randbytes(200),
        lambda: b"\x89PNG\r\n\x1a\n" + chance.randbytes(300),
        lambda: b"\x1f\x8b" + chance.randbytes(300),
        _archive,
        lambda: json.dumps({"t": task}).encode(),
        lambda: json.dumps(task).encode(),
        lambda: json.dumps({"t": {"train": [_PAIR] * 2, "test": [_PAIR] * chance.choice((1, 3000))}}).encode(),
        lambda: json.dumps({"t": chance.choice(_GRIDS)}).encode(),
        lambda: json.dumps([chance.choice(_GRIDS), {"text": "x" * 100}] * 20).encode(),
        lambda: b"file,label\n" + chance.choice((b"../../etc/passwd,x", b"cat/a.png", b"cat/a.png,", b",,,", b'"a')),
        lambda: b"source,question,answer,rating\n" + b"x,%s,%s,%s\n" % (b"1" * 16, board.encode(), b"9" * 5000),
        lambda: f"question,answer\n{board},{board}\n{board[:8]},{board}\n{'S G' + '#' * 13},So{'#' * 14}\n".encode(),
        lambda: b"question,answer\n" + b"." * 200_000 + b"," + b"." * 200_000,
        lambda: b'question,answer\n"' + b"1" * 300_000,
        lambda: b"question;answer\r" * 5000,
    )  # fmt: skip
    content = chance.choice(ways)()
    return content[: chance.randrange(len(content) + 1)] if chance.random() < 0.15 else content


def _archive() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, text=np.zeros((300, 300), np.uint8))
    return stream.getvalue()


def make_source(root: Path, names: tuple[str, ...], chance: random.Random) -> None:
    """A folder with files of these names, some of which are no files."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = chance.choice(("file",) * 9 + ("pipe", "loop", "folder", "missing", "closed", "odd name"))
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "loop":
            path.symlink_to(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "odd name":
            (path.parent / os.fsdecode(b"\xff\x1b[31m\n" + os.fsencode(path.suffix))).write_bytes(contents(chance))
        elif kind != "missing":
            path.write_bytes(contents(chance))
            path.chmod(0o000 if kind == "closed" else 0o644)
    if chance.random() < 0.1:
        (root / "round").symlink_to(root)


def fuzz(numbers: range, seconds: float) -> Findings:
    """Give builders the sources of these numbers, until the time is over."""
    found, until = Findings(), time.monotonic() + seconds
    for number in numbers:
        chance = random.Random(number)
        name = list(TARGETS)[number % len(TARGETS)]
        main, flags, names = TARGETS[name]
        with tempfile.TemporaryDirectory(prefix="trm-fuzz-") as folder:
            root = Path(folder, "source")
            root.mkdir()
            make_source(root, names, chance)
            target = root / chance.choice(names) if flags[1] == "{}" and chance.random() < 0.4 else root
            words = [flag.replace("{}", str(target)) for flag in flags]
            words += ["--plan"] if chance.random() < 0.2 else ["--output-dir", str(Path(folder, "built"))]
            kinds = {path.name: path.stat().st_size for path in root.rglob("*") if path.is_file()}
            found.call(name, f"{number} {words} {kinds}", partial(_run, main, words))
            shutil.rmtree(root, ignore_errors=True)
        if time.monotonic() > until:
            break
    return found


def _run(main: Builder, words: list[str]) -> subprocess.CompletedProcess[str]:
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            code = main([*words, "--workers", "1"])
        except SystemExit as stop:
            code = int(stop.code or 0)
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())


def run() -> int:
    """Run the fuzz; 0 when every builder ended as documented."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0, help="number of the first source")
    parser.add_argument("--seconds", type=float, default=600.0)
    args = parser.parse_args()
    return fuzz(range(args.seed, args.seed + args.count), args.seconds).report()


if __name__ == "__main__":
    sys.exit(run())
