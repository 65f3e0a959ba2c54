"""The maze builder: what it generates, what it reads, and that training and test mazes have nothing in common."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataset_builders import maze as builder
from dataset_builders.lib.maze import engine as engine
from trm_cli.data import counter_rng
from trm_cli.data.augmentation.maze import symmetry_cells, transform
from trm_cli.data.files.durable import locked_directory
from trm_cli.data.files.manifest import read_manifest, verify
from trm_cli.data.puzzles.dataset import BatchOrder, open_dataset

pytestmark = pytest.mark.usefixtures("compiled")

SMALL = ("--size", 8, "--train", 40, "--test", 20, "--min-path", 8)


def run(*flags: object) -> int:
    return builder.main([str(flag) for flag in flags])


def content(root: Path) -> dict[str, bytes]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def arrays(root: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.load(root / split / f"all__{name}.npy") for name in ("inputs", "labels"))


def steps_by_hand(maze: np.ndarray) -> int:
    """Shortest path from S to G, in the plainest way: widen the set of reached cells until it holds the goal."""
    side = int(len(maze) ** 0.5)
    board = maze.reshape(side, side)
    reached, steps = board == engine.START, 0
    while not reached[board == engine.GOAL].any():
        wider = reached.copy()
        wider[1:] |= reached[:-1]
        wider[:-1] |= reached[1:]
        wider[:, 1:] |= reached[:, :-1]
        wider[:, :-1] |= reached[:, 1:]
        wider &= board != engine.WALL
        assert (wider != reached).any(), "the goal is out of reach"
        reached, steps = wider, steps + 1
    return steps


def generate(count: int, side: int = 12, **options: object) -> tuple[np.ndarray, np.ndarray]:
    keys = counter_rng.keys(3, "test", np.arange(count))
    settings = {"min_path": 16, "loops": 6, "unique": False, "for_test": False, "attempts": 10_000, **options}
    mazes, labels, made = engine.generate(keys, side, **settings)
    assert made.all()
    return mazes, labels


@pytest.mark.parametrize("unique", [False, True])
def test_the_label_is_a_shortest_path_of_the_wanted_length(unique: bool) -> None:
    mazes, labels = generate(60, unique=unique)
    several = 0
    for maze, label in zip(mazes, labels, strict=True):
        steps, ways = engine.shortest_path(maze)
        assert steps == steps_by_hand(maze) > 16
        assert np.array_equal(np.where(label == engine.PATH, engine.FREE, label), maze)
        # Start, path and goal alone are a maze in which the path has the same length: it is connected, and shortest.
        only_path = np.where((label == engine.WALL) | (label == engine.FREE), engine.WALL, maze)
        assert steps_by_hand(only_path) == steps == (label == engine.PATH).sum() + 1
        several += ways > 1
    assert (several == 0) if unique else (several > 5)


def test_without_loops_free_cells_are_a_tree() -> None:
    for maze in generate(20, loops=0)[0]:
        board = maze.reshape(12, 12) != engine.WALL
        doors = (board[1:] & board[:-1]).sum() + (board[:, 1:] & board[:, :-1]).sum()
        assert doors == board.sum() - 1


def test_maze_i_is_a_function_of_its_key_alone() -> None:
    keys = counter_rng.keys(3, "test", np.arange(30))
    settings = {"min_path": 16, "loops": 6, "unique": True, "for_test": True, "attempts": 10_000}
    whole = engine.generate(keys, 12, **settings)[0]
    assert np.array_equal(engine.generate(keys[17:18], 12, **settings)[0][0], whole[17])


def test_a_class_hash_is_shared_by_all_symmetries_only() -> None:
    mazes = generate(50)[0]
    cells = symmetry_cells(mazes.shape[1])
    plain = engine.class_hashes(mazes)
    assert len(np.unique(plain)) == len(mazes)
    for symmetry in range(8):
        assert np.array_equal(engine.class_hashes(transform(mazes, cells, np.full(len(mazes), symmetry))), plain)


def test_a_quarter_of_the_classes_is_for_tests() -> None:
    loose = [generate(400, side=6, min_path=4, for_test=split)[0] for split in (False, True)]
    for split, mazes in enumerate(loose):
        assert set((engine.class_hashes(mazes) >> np.uint64(62) == 0).tolist()) == {bool(split)}
    keys = counter_rng.keys(1, "test", np.arange(2000))
    settings = {"min_path": 4, "loops": 3, "unique": False, "attempts": 1}
    share = engine.generate(keys, 8, for_test=True, **settings)[2].sum()
    other = engine.generate(keys, 8, for_test=False, **settings)[2].sum()
    assert 0.2 < share / (share + other) < 0.3


def test_training_and_test_share_no_symmetry(tmp_path: Path) -> None:
    # 5x5 mazes are few, so that repeats and collisions really occur.
    flags = ("--size", 5, "--train", 300, "--test", 100, "--min-path", 4, "--output-dir", tmp_path / "out")
    assert run(*flags) == 0
    train, test = (engine.class_hashes(arrays(tmp_path / "out", split)[0]) for split in ("train", "test"))
    assert len(np.unique(train)) == 300
    assert len(np.unique(test)) == 100
    assert not set(train.tolist()) & set(test.tolist())
    assert verify(tmp_path / "out") == []


def test_written_out_or_made_while_drawn_the_batches_are_the_same(tmp_path: Path) -> None:
    assert run(*SMALL, "--output-dir", tmp_path / "once") == 0
    assert run(*SMALL, "--output-dir", tmp_path / "written", "--materialize") == 0
    once, written = (open_dataset([tmp_path / name], "train") for name in ("once", "written"))
    order = BatchOrder(16, 2, "per_epoch")
    for step in range(1, 12):
        left, right = once.train_batch(step, order, seed=4), written.train_batch(step, order, seed=4)
        assert all(np.array_equal(left[key], right[key]) for key in left)
    # All eight symmetries are drawn, and a maze and its label turn together.
    batch = once.train_batch(1, BatchOrder(4000, 1, "per_epoch"), seed=0)
    assert len(np.unique(batch["inputs"], axis=0)) > 300
    assert np.array_equal(batch["inputs"] == engine.START, batch["labels"] == engine.START)


def test_the_plan_is_what_is_built_and_needs_no_numpy(tmp_path: Path) -> None:
    code = (
        "import sys; from dataset_builders import maze\n"
        "assert maze.main(['--plan', '--size', '8', '--train', '40', '--test', '20', '--materialize']) == 0\n"
        "assert 'numpy' not in sys.modules, 'numpy was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    plan = json.loads(done.stdout)
    assert run(*SMALL, "--materialize", "--output-dir", tmp_path / "out") == 0
    for split in ("train", "test"):
        metadata = open_dataset([tmp_path / "out"], split).metadata
        assert plan[split] == {key: getattr(metadata, key) for key in plan[split]}


def write_csv(
    directory: Path, split: str, rows: list[tuple[str, str]], header: str = "source,question,answer,rating"
) -> None:
    directory.mkdir(exist_ok=True)
    with (directory / f"{split}.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header.split(","))
        writer.writerows([("x", question, answer, 3) for question, answer in rows])


def texts(mazes: np.ndarray, labels: np.ndarray) -> list[tuple[str, str]]:
    spell = lambda row: "".join(engine.CHARSET[token - 1] for token in row)  # noqa: E731
    return [(spell(maze), spell(label)) for maze, label in zip(mazes, labels, strict=True)]


def test_the_published_csv_is_read_and_overlap_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mazes, labels = generate(6)
    cells = symmetry_cells(144)
    turned = [transform(rows[:1], cells, np.array([3])) for rows in (mazes, labels)]
    write_csv(tmp_path / "csv", "test", texts(mazes[:3], labels[:3]))
    write_csv(tmp_path / "csv", "train", texts(*turned) + texts(mazes[3:], labels[3:]))
    assert run("--source", tmp_path / "csv", "--output-dir", tmp_path / "out") == 0
    assert "1 training mazes are symmetries of a test maze" in capsys.readouterr().err
    assert np.array_equal(arrays(tmp_path / "out", "train")[0], mazes[3:])
    assert np.array_equal(arrays(tmp_path / "out", "test")[1], labels[:3])
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    assert manifest.planned["dropped_training_mazes"] == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("S #G", "S #G x"), "train.csv:3: answer has 6 characters, expected 4 (2x2)"),
        (("Sx#G", "Sx#G"), "train.csv:3: question holds 'x'"),
        (("S # ", "S # "), "train.csv:3: the question must have one G"),
        (("S #G", "SoG#"), "train.csv:3: the answer is not the question with a path in it"),
        (("S #G", "S #G"), "train.csv:3: the marked cells are not a path from S to G"),
    ],
)
def test_a_wrong_row_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: tuple[str, str], said: str
) -> None:
    good = ("S #G", "So#G")
    write_csv(tmp_path / "csv", "test", [("SG##", "SG##")])
    write_csv(tmp_path / "csv", "train", [good, row])
    assert run("--source", tmp_path / "csv", "--output-dir", tmp_path / "out") == 3
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_missing_files_columns_and_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--source", tmp_path / "csv", "--output-dir", tmp_path / "out")
    assert run(*flags) == 3
    assert f"{tmp_path}/csv does not exist" in capsys.readouterr().err
    write_csv(tmp_path / "csv", "test", [])
    write_csv(tmp_path / "csv", "train", [("S #G", "So#G")], header="a,b,c,d")
    assert run(*flags) == 3
    assert "holds no mazes" in capsys.readouterr().err
    write_csv(tmp_path / "csv", "test", [("SG##", "SG##")])
    assert run(*flags) == 3
    assert "has no column question, answer" in capsys.readouterr().err


def test_wishes_that_cannot_be_met(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--output-dir", tmp_path / "out")
    assert run("--size", 6, "--min-path", 35, *out) == 2
    assert "no maze of 6x6" in capsys.readouterr().err
    assert run("--size", 6, "--min-path", 33, "--train", 2, "--test", 2, *out) == 3
    assert "lower --min-path" in capsys.readouterr().err
    assert run("--size", 2, "--min-path", 1, "--train", 50, "--test", 1, "--rebuild", *out) == 3
    assert "different" in capsys.readouterr().err or "attempts" in capsys.readouterr().err


def test_two_builds_at_once_and_a_full_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked_directory(tmp_path / "out"):
        assert run(*SMALL, "--output-dir", tmp_path / "out") == 3
    assert "being built by another process" in capsys.readouterr().err

    def full(*args: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("dataset_builders.lib.maze.writing.write_split", full)
        assert run(*SMALL, "--output-dir", tmp_path / "out") == 3
    assert f"{tmp_path / 'out'}: No space left on device" in capsys.readouterr().err
    assert run(*SMALL, "--output-dir", tmp_path / "out") == 0
    assert run(*SMALL, "--output-dir", tmp_path / "whole") == 0
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_pipe_in_the_place_of_a_table_is_told_and_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test.csv").write_text("question,answer\nS..G,S##G\n")
    os.mkfifo(tmp_path / "train.csv")
    words = ["--source", str(tmp_path), "--train", "1", "--test", "1", "--output-dir", str(tmp_path / "out")]
    assert builder.main(words) == 3
    assert "it is a pipe, not a file" in capsys.readouterr().err
