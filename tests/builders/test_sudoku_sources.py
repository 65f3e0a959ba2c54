from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dataset_builders import sudoku
from dataset_builders.lib.sudoku import engine as engine
from trm_cli.data import counter_rng

pytestmark = pytest.mark.usefixtures("compiled")

ROOT = Path(__file__).parents[2]
COLUMNS = ["source", "question", "answer", "rating"]


def rows(count: int, *, test: bool, seed: int = 0) -> list[list[str]]:
    keys = counter_rng.keys(seed, "rows", np.arange(count))
    made = engine.generate(engine.make_board(2, 2), keys, (6, 6), (0, 2**30), test, 1000)

    def text(digits: np.ndarray) -> str:
        return "".join(map(str, digits)).replace("0", ".")

    return [["made", text(p), text(s), str(k)] for k, (p, s) in enumerate(zip(*made[:2], strict=True))]


def write_csv(path: Path, lines: list[list[str]], columns: list[str] = COLUMNS) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *lines])
    return path


def build(root: Path, source: object, *flags: object) -> int:
    small = ["--output-dir", root, "--box", 2, 2, "--num-aug", 0, "--source", source, *flags]
    return sudoku.main([str(flag) for flag in small])


def inputs(root: Path, split: str) -> list[str]:
    """The stored questions as text."""
    stored = np.load(root / split / "all__inputs.npy") - 1
    return ["".join(map(str, row)).replace("0", ".") for row in stored]


def test_a_directory_keeps_its_splits_but_no_symmetry(tmp_path: Path) -> None:
    train, test = rows(80, test=False), rows(30, test=True)
    leaked = test[3]
    swap = str.maketrans("1234", "2341")
    twin = [leaked[0], leaked[1].translate(swap), leaked[2].translate(swap), "7"]
    write_csv(tmp_path / "train.csv", [*train, leaked, twin])
    write_csv(tmp_path / "test.csv", test)
    assert build(tmp_path / "d", tmp_path) == 0
    assert inputs(tmp_path / "d", "train") == [row[1] for row in train]
    assert inputs(tmp_path / "d", "test") == [row[1] for row in test]
    assert np.load(tmp_path / "d/train/all__ratings.npy").tolist() == list(range(80))


def test_subsample_and_difficulty(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", rows(80, test=False))
    write_csv(tmp_path / "test.csv", rows(80, test=True))
    flags = ("--subsample-size", 10, "--test", 5, "--min-difficulty", 40, "--max-difficulty", 70)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert build(tmp_path / name, tmp_path, *flags, "--seed", seed) == 0
    ratings = np.load(tmp_path / "a/train/all__ratings.npy")
    assert len(ratings) == 10
    assert ratings.min() >= 40
    assert ratings.max() <= 70
    assert inputs(tmp_path / "a", "train") == inputs(tmp_path / "b", "train") != inputs(tmp_path / "c", "train")


def test_one_file_is_divided_by_class_and_may_lack_ratings(tmp_path: Path) -> None:
    lines = [row[1:3] for row in rows(60, test=False) + rows(20, test=True)]
    path = write_csv(tmp_path / "all.csv", [[q.replace(".", "0"), a] for q, a in lines], ["question", "answer"])
    assert build(tmp_path / "d", path) == 0
    assert inputs(tmp_path / "d", "train") == [question for question, _ in lines[:60]]
    assert inputs(tmp_path / "d", "test") == [question for question, _ in lines[60:]]
    manifest = json.loads((tmp_path / "d/manifest.json").read_text())
    assert str(tmp_path) not in json.dumps(manifest), "where the file lies is not part of the dataset"


GOOD = ["made", "12343412214343..", "1234341221434321", "0"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["made", "123", GOOD[2], "0"], "question has 3 characters"),
        (["made", GOOD[1], GOOD[2][:-1] + ".", "0"], "answer"),
        (["made", "12343412214353..", GOOD[2], "0"], "not a 4x4 board"),
        (["made", GOOD[1], "1234341221434322", "0"], "does not solve"),
        (["made", "22343412214343..", GOOD[2], "0"], "does not solve"),
        (["made", GOOD[1], GOOD[2], "x"], "rating 'x' is not a number"),
        (GOOD[:3], "has 3 fields"),
    ],
)
def test_damaged_rows_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: list[str], words: str
) -> None:
    path = write_csv(tmp_path / "x.csv", [GOOD, line])
    assert build(tmp_path / "d", path) == 3
    message = capsys.readouterr().err
    assert words in message
    assert str(path) in message


def test_sources_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(tmp_path / "d", tmp_path / "nothing.csv") == 3
    assert build(tmp_path / "d", tmp_path) == 3
    assert "train.csv" in capsys.readouterr().err
    assert build(tmp_path / "d", write_csv(tmp_path / "y.csv", [], ["a", "b"])) == 3
    assert "no column question, answer" in capsys.readouterr().err
    assert build(tmp_path / "d", write_csv(tmp_path / "z.csv", [GOOD]), "--train", 10) == 3
    assert "usable" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("in_test", "flags", "words"),
    [
        (True, (), "holds 0 usable train puzzles, asked for some (held out for the test split: 6)"),
        (False, (), "holds 0 usable test puzzles, asked for some (used for the train split: 6)"),
        (False, ("--min-difficulty", 9), "(puzzles left out by --min-difficulty and --max-difficulty: 6; held out"),
    ],
)
def test_a_split_without_puzzles_says_where_they_went(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], in_test: bool, flags: tuple[object, ...], words: str
) -> None:
    repeated = rows(1, test=in_test) * 6
    assert build(tmp_path / "d", write_csv(tmp_path / "x.csv", repeated), *flags) == 3
    assert words in capsys.readouterr().err


def test_repeats_of_the_test_puzzles_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "test"):
        write_csv(tmp_path / f"{split}.csv", rows(5, test=True))
    assert build(tmp_path / "d", tmp_path) == 3
    assert "training puzzles left out: symmetries of a test puzzle: 5" in capsys.readouterr().err


@pytest.mark.slow
def test_a_hub_out_of_reach_is_said_soon(tmp_path: Path) -> None:
    start = time.monotonic()
    found = subprocess.run(
        [sys.executable, "-m", "dataset_builders.sudoku", "--output-dir", tmp_path / "d", "--source", "hub:a/b"],
        capture_output=True, text=True, cwd=ROOT, timeout=60,
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf")},
    )  # fmt: skip
    assert found.returncode == 3, found.stderr
    assert "out of reach" in found.stderr
    assert "Traceback" not in found.stderr
    assert time.monotonic() - start < 20  # 10 s on a machine that does nothing else
