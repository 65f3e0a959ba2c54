"""Every hint is true: what it suggests is run, in the command that printed it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.commands import trm_here
from trm_cli.config.registry import SHIPPED

#: Wrong words, and the words that the hint leads to: what stands in backticks or behind "write" replaces them.
REPLACED = [
    (["configs", "show", "sudoku-4x4"], "device=gpu", "device=cuda"),
    (["configs", "show", "sudoku-4x4"], "device=cdua", "device=cuda"),
    (["configs", "show", "sudoku-4x4"], "precision=bf16", "precision=bfloat16"),
    (["configs", "show", "sudoku-4x4"], "epochs=1,000", "epochs=1000"),
    (["configs", "show", "sudoku-4x4"], "epochs=1_000", "epochs=1000"),
    (["configs", "show", "sudoku-4x4"], "ema=yes", "ema=true"),
    (["configs", "show", "sudoku-4x4"], "data_paths=one", "data_paths=[one]"),
    (["configs", "show", "sudoku-4x4"], "epoch=3", "epochs=3"),
    (["configs", "show", "sudoku-4x4"], "hidden_size=16", "arch.hidden_size=16"),
    (["configs", "show", "sudoku-4x4"], "arch.hidden_sze=16", "arch.hidden_size=16"),
    (["configs", "show"], "sudoku-4x5", "sudoku-4x4"),
    (["train", "--dry-run"], "sudoku4x4.yaml", "sudoku-4x4"),
    (["build-dataset", "sudoku-4x4", "--plan"], "dataset_args.tran=5", "dataset_args.train=5"),
    (["configs", "show", "sudoku-4x4", "arch=trm_sudko"], "", ""),
]


def hint_of(stderr: str) -> str:
    return " ".join(stderr.partition("hint: ")[2].split())


@pytest.mark.parametrize(("before", "wrong", "right"), REPLACED, ids=[str(one[1]) for one in REPLACED])
def test_what_is_meant(before: list[str], wrong: str, right: str, tmp_path: Path) -> None:
    done = trm_here(*before, *([wrong] if wrong else []), cwd=tmp_path)
    assert done.returncode == 2
    found = re.search(r"did you mean `(.+?)`|write (\S+)", hint_of(done.stderr))
    assert found is not None, done.stderr
    meant = found[1] or found[2].rstrip(":")
    if not wrong:
        assert meant == "trm_sudoku"
        return
    key, equals, value = wrong.partition("=")
    again = meant if not equals else f"{meant}={value}" if right.partition("=")[0] != key else f"{key}={meant}"
    assert again == right
    done = trm_here(*before, again, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("word", ["arch.L_cycles=3,6", "epochs=1,00", "epochs=1,0000"])
def test_two_numbers_are_not_one(word: str, tmp_path: Path) -> None:
    done = trm_here("configs", "show", "sudoku-4x4", word, cwd=tmp_path)
    assert done.returncode == 2
    assert "write" not in done.stderr


def test_a_key_with_a_dot_in_a_file(tmp_path: Path) -> None:
    text = (SHIPPED / "models/sudoku-4x4.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text + "  arch.hidden_size: 32\n")
    done = trm_here("train", "mine.yaml", "--dry-run", cwd=tmp_path)
    assert "did you mean `arch.hidden_size`" not in done.stderr
    assert "in a file it is `arch:` and below it, indented, `hidden_size: ...`" in done.stderr
    (tmp_path / "mine.yaml").write_text(text + "  arch:\n    hidden_size: 32\n")
    assert trm_here("train", "mine.yaml", "--dry-run", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    "words", [["train", "sudoku-4x4", "--device", "gpu"], ["train", "--wandb", "of", "sudoku-4x4"]]
)
def test_an_option_is_called_as_it_was_typed(words: list[str], tmp_path: Path) -> None:
    done = trm_here(*words, cwd=tmp_path)
    option, value = next((word, words[place + 1]) for place, word in enumerate(words) if word.startswith("--"))
    assert f"  {option} {value}  `" in done.stderr
    assert "override" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["train", "sudoku-4x4", "--epochs", "10", "--dry-run"],
        ["train", "sudoku-4x4", "--arch.hidden-size=64", "--dry-run"],
        ["train", "--lr", "1e-3", "sudoku-4x4", "--dry-run", "--device", "cpu"],
        ["configs", "show", "sudoku-4x4", "--no-ema"],
        ["--foo", "train", "sudoku-4x4"],
        ["train", "sudoku-4x4", "--fp16", "False", "--dry-run"],
        ["train", "sudoku-4x4", "--no_cuda=0", "--dry-run"],
        ["train", "sudoku-4x4", "--no-wandb", "False"],
        ["inspect-schedule", "sudoku-4x4", "--global_batch_size", "32"],
    ],
)
def test_a_setting_that_was_typed_as_an_option(words: list[str], tmp_path: Path) -> None:
    done = trm_here(*words, cwd=tmp_path)
    assert done.returncode == 2
    if {"--no-ema", "--foo", "--no-wandb"} & {*words}:
        assert "hint" not in done.stderr
        return
    found = re.search(r"settings are written without dashes: `(trm .+?)`", " ".join(done.stderr.split()))
    assert found is not None, done.stderr
    again = trm_here(*shlex.split(found[1])[1:], cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_the_value_of_an_option_is_no_part_of_the_puzzle(tmp_path: Path) -> None:
    for option in ("--views", "--steps"):
        said = trm_here("solve", "run", option, "0", "1.........2....3", cwd=tmp_path).stderr
        assert f"Invalid value for '{option}'" in said
        assert "here it is" not in said
    said = trm_here("solve", "run", "--views", "2", "1...", "....", "..2.", "...3", cwd=tmp_path).stderr
    assert "here it is `trm solve run '1... .... ..2. ...3' --views 2`" in " ".join(said.split())


def test_where_there_are_no_settings_none_is_proposed(tmp_path: Path) -> None:
    assert "without dashes" not in trm_here("evaluate", "--epochs", "3", cwd=tmp_path).stderr


def test_options_of_other_commands_are_not_proposed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import sys; print('mine: error: no plan', file=sys.stderr); sys.exit(3)")
    text = (SHIPPED / "models/sudoku-4x4.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("dataset_builders/sudoku.py", "mine.py"))
    assert "--samples-per-epoch" not in trm_here("train", "mine.yaml", "--dry-run", cwd=tmp_path).stderr
    said = trm_here("inspect-schedule", "mine.yaml", cwd=tmp_path).stderr
    assert "plan without it: --samples-per-epoch N" in said
    done = trm_here("inspect-schedule", "mine.yaml", "--samples-per-epoch", "9", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


COMMAND = re.compile(r"`(trm [^`]+)`")


@pytest.mark.slow
def test_a_dataset_with_other_settings_leads_to_a_command_that_replaces_it(tmp_path: Path) -> None:
    few = ["dataset_args.train=4", "dataset_args.test=2", "dataset_args.num_aug=0"]
    assert trm_here("build-dataset", "sudoku-4x4", *few, cwd=tmp_path).returncode == 0
    for words in (["train", "sudoku-4x4", "--dataset-only"], ["build-dataset", "sudoku-4x4"]):
        done = trm_here(*words, *few, "dataset_args.seed=1", cwd=tmp_path)
        assert done.returncode == 3
        hint = hint_of(done.stderr)
        assert "dataset_args.output_dir=VALUE" in hint
        assert "--output-dir" not in hint
        [command] = COMMAND.findall(hint)
        assert shlex.split(command) == ["trm", "build-dataset", "sudoku-4x4", "--rebuild"]
    done = trm_here(*shlex.split(command)[1:], *few, "dataset_args.seed=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [["inspect-dataset", "datasets/sudoku-4x4"], ["train", "sudoku-4x4", "--dry-run"]])
def test_a_damaged_dataset_leads_to_its_model(words: list[str], tmp_path: Path) -> None:
    write_boards(tmp_path / "datasets/sudoku-4x4")
    (tmp_path / "datasets/sudoku-4x4/train/dataset.json").write_text("{")
    done = trm_here(*words, cwd=tmp_path)
    assert done.returncode == 3
    assert COMMAND.findall(hint_of(done.stderr)) == ["trm build-dataset sudoku-4x4 --rebuild"]


def test_a_hint_without_a_known_model_says_where_models_are(tmp_path: Path) -> None:
    done = trm_here("inspect-dataset", "nowhere", cwd=tmp_path)
    assert "`trm build-dataset MODEL` builds one (MODEL is one of `trm configs list`)" in hint_of(done.stderr)
    assert trm_here("configs", "list", cwd=tmp_path).returncode == 0


# --- Messages that name what is there ---


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["evaluate", "notes.txt"], 4, "notes.txt is a file; a run is a directory, a checkpoint a .pt file"),
        (["evaluate", "folder"], 4, "folder is not a run directory"),
        (["evaluate", "nowhere"], 4, "there is no run nowhere"),
        (["solve", "run", "puzzle.txt"], 2, "there is no file puzzle.txt"),
        (["solve", "run", "puzzles/one"], 2, "there is no file puzzles/one"),
        (["solve", "run", "1" * 81], 2, "this puzzle has 81 cells, the run was trained on 4x4 boards"),
        (["solve", "run", "11.............."], 2, "1 in row 1 column 1 and in row 1 column 2"),
        (["solve", "run/step_00000001.pt", "1..............."], 4, "there is no file run/step_00000001.pt"),
        (["inspect-dataset", "notes.txt"], 3, "notes.txt is a file; a dataset is a directory"),
        (["train", "nofile.yaml"], 2, "the model file nofile.yaml does not exist"),
        (["train", "folder/none.yaml"], 2, "the model file folder/none.yaml does not exist"),
        (["train", "sudoku-4x4", "arch=nofile.yaml"], 2, "the architecture file nofile.yaml does not exist"),
        (["train", "nomodel"], 2, "no model is called"),
    ],
)
def test_what_is_not_there_is_called_what_it_is(
    words: list[str], code: int, said: str, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").symlink_to(trained / "run")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    done = trm_here(*words, cwd=tmp_path)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
