"""Trivial mistakes are told before torch is loaded, which takes seconds."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.streams import ROOT, environment

#: A program in which nothing can import torch.
CODE = "import sys; sys.modules['torch'] = None; from trm_cli.app import main; main()"
#: The same for many command lines, each in a fork: [exit code, what it said on stderr] of each.
MANY = """
import importlib, json, os, pkgutil, sys, tempfile, traceback
from contextlib import suppress
sys.modules["torch"] = None
import trm_cli
from trm_cli.app import main
for found in pkgutil.walk_packages(trm_cli.__path__, "trm_cli.", lambda name: None):
    with suppress(ImportError):  # what needs torch; the rest is loaded once for all lines
        importlib.import_module(found.name)
said = []
for line in json.load(sys.stdin):
    with tempfile.TemporaryFile("w+") as errors:
        if not (child := os.fork()):
            os.dup2(errors.fileno(), 2)
            sys.argv = ["trm", *line]
            try:
                main()
            except SystemExit as stop:  # the modules are not taken apart, which takes longer than the line
                sys.stderr.flush()
                os._exit(stop.code)
            except BaseException:
                traceback.print_exc()
                os._exit(-1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        errors.seek(0)
        said.append([code, " ".join(errors.read().split())])
print(json.dumps(said))
"""

MISTAKES = [
    (2, "train sudoku-4x5", "no model is called"),
    (2, "train sudoku-4x4 epoch=3", "unknown key"),
    (2, "train sudoku-4x4 --epochs 3", "settings are written without dashes"),
    (2, "train nofile.yaml", "does not exist"),
    (2, "train sudoku-4x4 dataset_args.tran=3", "the builder knows no --tran"),
    (3, "train sudoku-4x4 data_paths=[one,two]", "is missing, and no model says how to build it"),
    (4, "train sudoku-4x4 load_checkpoint=none.pt", "none.pt cannot be read"),
    (4, "train sudoku-4x4 init_from=none.pt", "none.pt cannot be read"),
    (4, "resume nowhere", "there is no run nowhere"),
    (4, "solve nowhere 1", "there is no run nowhere"),
    (4, "solve none.pt 1", "there is no file none.pt"),
    (4, "evaluate nowhere", "there is no run nowhere"),
    (4, "evaluate", "no runs in checkpoints/"),
    (4, "generate nowhere", "there is no run nowhere"),
    (4, "show-capsules nowhere 1 --out a.png", "there is no run nowhere"),
    (4, "classify nowhere .", "there is no run nowhere"),
    (2, "classify nowhere b.png", "there is no file b.png"),
    (2, "show-capsules nowhere 1 --out a.pdf", "--out a.png"),
    (4, "adapt nowhere tasks.json --updates 3", "there is no run nowhere"),
    (2, "train sudoku-4x4 --device mps", "Apple's GPUs are in Macs alone"),
    (4, "checkpoints export nowhere --out a", "there is no run nowhere"),
    (4, "checkpoints list nowhere", "there is no run nowhere"),
    (4, "checkpoints import nofile --arch trm --dataset data", "nofile does not exist"),
    (4, "report nowhere", "there is no run nowhere"),
    (3, "inspect-dataset nowhere", "dataset nowhere does not exist"),
    (2, "inspect-model nowhere", "nowhere"),
    (2, "inspect-schedule nowhere", "no model is called"),
    (2, "inspect-schedule sudoku-4x4 --out nowhere/a.png", "`mkdir -p nowhere`"),
    (2, "inspect-model sudoku-4x4 --precision half", "expected one of auto, float32"),
    (3, "inspect-model sudoku-4x4 --data nowhere", "dataset nowhere does not exist"),
    (2, "inspect-dataset data --out nowhere/a.png", "the directory nowhere does not exist"),
    # What a run cannot be asked is told by what is sealed in its checkpoint.
    (2, "generate run --prompt Once", "trained on sudoku puzzles, not on text"),
    (2, "generate run --stop ''", "has at least one character"),
    (2, "classify run a.png", "trained on rows of tokens, not on pictures"),
    (2, "show-capsules run 1 --out a.png", "has no capsules"),
    (2, "adapt run tasks.json --updates 3", "run was trained on sudoku rows, not on ARC tasks"),
    (2, "adapt run tasks.json --updates 3 --out nowhere/a.json", "the directory nowhere does not exist"),
    (2, "solve run 123", "this puzzle has 3 cells"),
    (2, "solve run 11..............", "the clues contradict each other"),
    (2, "solve run 9...............", "not a cell of a 4x4 Sudoku"),
    (2, "solve run", "standard input is empty"),
    (2, "solve run 1............... --task x", "--task and --votes are for ARC tasks"),
    (2, "solve run --all-solutions-of empty.txt", "empty.txt holds no puzzle"),
    (2, "evaluate run --split dev", "expected train or test"),
    (2, "evaluate run --policy q", "asks the Q-network"),
    (2, "evaluate run --votes 3", "--votes is for ARC tasks"),
    (2, "evaluate run --precision half", "expected one of auto, float32"),
    (2, "evaluate run --predictions a.csv", "must end in .npz or .parquet"),
    (3, "evaluate run --data nowhere", "dataset nowhere does not exist"),
    (4, "resume run --from 9", "has no checkpoint of step 9"),
    (2, "report run --out nowhere/a.html", "the directory nowhere does not exist"),
    (2, "compare run run --out nowhere/a.html", "the directory nowhere does not exist"),
    (4, "checkpoints consolidate run --step 9", "has no checkpoint of step 9"),
    (2, "checkpoints export run --out nowhere/a.safetensors", "the directory nowhere does not exist"),
    (2, "checkpoints import empty.txt --arch trm_sudok --dataset data", "did you mean `trm_sudoku`?"),
    (3, "checkpoints import empty.txt --arch trm_sudoku --dataset nowhere", "dataset nowhere does not exist"),
    (1, "demo run --host 203.0.113.7 --no-open", "cannot listen on 203.0.113.7"),
]


@pytest.fixture(scope="module")
def told(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each command line said, in a folder with a run, its data and an empty picture."""
    folder = tmp_path_factory.mktemp("soon told")
    for name in ("run", "data"):
        (folder / name).symlink_to(trained / name)
    for name in ("a.png", "empty.txt"):
        (folder / name).touch()
    lines = [words for _, words, _ in MISTAKES]
    done = subprocess.run(
        [sys.executable, "-c", MANY], input=json.dumps([shlex.split(line) for line in lines]),
        cwd=folder, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(zip(lines, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(("code", "words", "said"), MISTAKES, ids=[words for _, words, _ in MISTAKES])
def test_no_torch_is_needed_for_it(code: int, words: str, said: str, told: dict[str, Any]) -> None:
    assert (told[words][0], said in told[words][1]) == (code, True), told[words]


@pytest.mark.parametrize("words", ["train sudoku-4x4 --dry-run", "train sudoku-4x4 device=cuda"])
def test_a_card_that_is_not_there_is_told_without_torch(words: str, tmp_path: Path) -> None:
    """By the files of its driver, which this process does not see."""
    line = [*words.split(), "device=cuda"]
    code = f"from trm_cli.training.hardware import devices; devices._DRIVERS = ('none',); {CODE}"
    done = subprocess.run(
        [sys.executable, "-c", code, *line],
        cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, "there is no CUDA device here" in done.stderr) == (2, True), done.stderr
    assert "`trm doctor` says what torch sees" in done.stderr
    assert not list(tmp_path.iterdir())
