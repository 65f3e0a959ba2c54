from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dataset_builders import sudoku
from dataset_builders.lib.sudoku import engine, generate
from trm_cli.data.files import durable
from trm_cli.data.files.manifest import read_manifest, verify
from trm_cli.data.puzzles.dataset import BatchOrder, open_dataset
from trm_cli.errors import DatasetError

pytestmark = pytest.mark.usefixtures("compiled")

ROOT = Path(__file__).parents[2]
SMALL = ("--box", "2", "2", "--train", "300", "--test", "150", "--num-aug", "20")


def command(*flags: object) -> list[str]:
    return [sys.executable, "-m", "dataset_builders.sudoku", *map(str, flags)]


def run(*flags: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*flags), capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, timeout=120
    )


def build(root: Path, *flags: object) -> Path:
    assert sudoku.main(["--output-dir", str(root), "--workers", "1", *map(str, flags)]) == 0
    return root


def tree(root: Path) -> dict[str, str]:
    """SHA-256 of every file but the lock, which holds a process id."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


# ---------------------------------------------------------------- content and format


def original_reader(root: Path, split: str, seed: int, batch_size: int) -> list[dict[str, np.ndarray]]:
    """One epoch by the reading rules of the original TRM code, written from their description."""
    metadata = json.loads((root / split / "dataset.json").read_text())
    for key in ("pad_id", "ignore_label_id", "blank_identifier_id", "vocab_size", "seq_len", "num_puzzle_identifiers",
                "total_groups", "mean_puzzle_examples", "total_puzzles"):  # fmt: skip
        assert isinstance(metadata[key], int | float)
    data = {
        name: np.load(root / split / f"{metadata['sets'][0]}__{name}.npy", mmap_mode="r")
        for name in ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")
    }
    assert {data[name].dtype for name in ("puzzle_identifiers", "puzzle_indices", "group_indices")} == {
        np.dtype("int32")
    }
    rng = np.random.Generator(np.random.Philox(seed=seed))
    picked: list[tuple[int, int]] = []  # example, puzzle
    for group in rng.permutation(data["group_indices"].size - 1):
        puzzle = rng.integers(data["group_indices"][group], data["group_indices"][group + 1])
        examples = np.arange(data["puzzle_indices"][puzzle], data["puzzle_indices"][puzzle + 1])
        picked += [(int(example), int(puzzle)) for example in rng.permutation(examples)]
    batches = []
    for start in range(0, len(picked) - batch_size + 1, batch_size):
        examples, puzzles = np.array(picked[start : start + batch_size]).T
        labels = data["labels"][examples].astype(np.int32)
        labels[labels == metadata["ignore_label_id"]] = -100
        batches.append({
            "inputs": data["inputs"][examples].astype(np.int32),
            "labels": labels,
            "puzzle_identifiers": data["puzzle_identifiers"][puzzles],
        })  # fmt: skip
    return batches


@pytest.mark.parametrize("materialize", [False, True])
def test_the_original_code_can_read_it(tmp_path: Path, materialize: bool) -> None:
    root = build(tmp_path / "d", *SMALL, *(["--materialize"] if materialize else []))
    assert json.loads((root / "identifiers.json").read_text()) == ["<blank>"]
    for split, groups in (("train", 300), ("test", 150)):
        batches = original_reader(root, split, 1, 50)
        assert len(batches) == groups // 50
        for batch in batches:
            assert batch["inputs"].shape == (50, 16)
            assert set(np.unique(batch["inputs"])) == {1, 2, 3, 4, 5}
            assert set(np.unique(batch["labels"])) == {2, 3, 4, 5}
            assert ((batch["inputs"] == 1) | (batch["inputs"] == batch["labels"])).all()
            assert ((batch["inputs"] != 1).sum(axis=1) == 6).all()
            assert not batch["puzzle_identifiers"].any()
    stored = np.load(root / "train/all__inputs.npy")
    assert stored.dtype == np.uint8
    assert len(stored) == (300 * 21 if materialize else 300)


def test_stored_and_drawn_augmentations_are_the_same_training(tmp_path: Path) -> None:
    drawn = open_dataset([build(tmp_path / "a", *SMALL)], "train")
    stored = open_dataset([build(tmp_path / "b", *SMALL, "--materialize")], "train")
    assert drawn.facts.total_groups == stored.facts.total_groups == 300
    order = BatchOrder(64, 4)
    for step in (1, 2, 5, 99):
        one, other = (dataset.train_batch(step, order, 3) for dataset in (drawn, stored))
        assert all((one[key] == other[key]).all() for key in one)
    assert len(np.unique(drawn.train_batch(1, order, 3)["inputs"], axis=0)) > 60


@pytest.mark.parametrize("most", [1, 9])
def test_extra_clues_make_training_boards_easier_and_leave_test_boards_as_they_are(tmp_path: Path, most: int) -> None:
    plain, eased = build(tmp_path / "plain", *SMALL), build(tmp_path / "eased", *SMALL, "--extra-clues", most)
    boards = {root: np.load(root / "train/all__inputs.npy") for root in (plain, eased)}
    labels = np.load(plain / "train/all__labels.npy")
    assert (np.load(eased / "train/all__labels.npy") == labels).all()
    shown = boards[plain] != 1
    assert (boards[eased][shown] == boards[plain][shown]).all()
    assert ((boards[eased] == 1) | (boards[eased] == labels)).all()
    further, counts = np.unique((boards[eased] != boards[plain]).sum(1), return_counts=True)
    assert further.tolist() == list(range(most + 1))
    expected = 300 / (most + 1)
    assert abs(counts - expected).max() < 4 * expected**0.5
    for name in ("inputs", "labels"):
        assert (np.load(eased / f"test/all__{name}.npy") == np.load(plain / f"test/all__{name}.npy")).all()


def test_extra_clues_end_with_the_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = np.load(build(tmp_path / "full", *SMALL, "--extra-clues", 16) / "train/all__inputs.npy")
    further = (full != 1).sum(1) - 6
    assert np.unique(further).tolist() == list(range(11))  # as many of each: not most of them full
    for most in (17, 10**9):
        flags = ["--output-dir", str(tmp_path / "none"), *SMALL, "--extra-clues", str(most)]
        assert sudoku.main(flags) == 2
        assert f"--extra-clues {most}: a board has 16 cells" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_splits_share_no_symmetry_and_repeat_no_puzzle(tmp_path: Path) -> None:
    root = build(tmp_path / "d", *SMALL)
    board = engine.make_board(2, 2)
    classes = []
    for split in ("train", "test"):
        inputs, labels = (np.load(root / split / f"all__{name}.npy") - 1 for name in ("inputs", "labels"))
        assert len(np.unique(inputs, axis=0)) == len(inputs)
        classes.append(set(engine.class_hashes(board, inputs, labels).tolist()))
        ratings = open_dataset([root], split).puzzle_values("ratings")
        assert ratings is not None
        assert ratings.tolist() == [engine.solve(board, puzzle)[1] for puzzle in inputs]
    assert classes[0].isdisjoint(classes[1])


def test_a_larger_dataset_begins_with_the_smaller_one(tmp_path: Path) -> None:
    small, large = build(tmp_path / "a", *SMALL), build(tmp_path / "b", *SMALL, "--train", 700)
    assert (np.load(large / "train/all__inputs.npy")[:300] == np.load(small / "train/all__inputs.npy")).all()
    assert (np.load(large / "test/all__inputs.npy") == np.load(small / "test/all__inputs.npy")).all()


def test_seed_difficulty_and_clue_range(tmp_path: Path) -> None:
    flags = ("--box", 3, 3, "--train", 20, "--test", 5, "--min-difficulty", 2, "--max-difficulty", 6)
    clues = ("--min-clues", 24, "--max-clues", 26)
    one, other = build(tmp_path / "a", *flags, *clues), build(tmp_path / "b", *flags, *clues, "--seed", 1)
    for root in (one, other):
        ratings, inputs = np.load(root / "train/all__ratings.npy"), np.load(root / "train/all__inputs.npy")
        assert ratings.min() >= 2
        assert ratings.max() <= 6
        assert set((inputs != 1).sum(axis=1)) <= {24, 25, 26}
    assert (np.load(one / "train/all__inputs.npy") != np.load(other / "train/all__inputs.npy")).any()


def test_asking_for_more_puzzles_than_exist_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "_DRAWS_PER_PUZZLE", 2)
    # 4x4 boards have 288 solutions, so there are 288 * 16 puzzles with 15 clues.
    flags = ["--output-dir", str(tmp_path / "d"), "--box", "2", "2", "--clues", "15", "--train", "5000", "--test", "9"]
    assert sudoku.main(flags) == 3
    assert "different train puzzles were asked for" in capsys.readouterr().err


def test_impossible_clues_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "ATTEMPTS", 500)
    assert sudoku.main(["--output-dir", str(tmp_path / "d"), "--box", "2", "2", "--clues", "3"]) == 3
    assert "no test puzzle with 3 to 3 clues" in capsys.readouterr().err.splitlines()[-1]


# ---------------------------------------------------------------- flags, plan, progress


def test_plan_is_exact_and_light(tmp_path: Path) -> None:
    flags = ("--box", 2, 2, "--train", 40, "--test", 9, "--num-aug", 3, "--materialize")
    program = (
        "import sys; from dataset_builders import sudoku; code = sudoku.main(sys.argv[1:]);"
        "heavy = {'numpy', 'numba', 'torch', 'datasets'} & set(sys.modules); assert not heavy, heavy; sys.exit(code)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, *map(str, flags), "--plan"], capture_output=True, text=True, cwd=ROOT
    )
    assert (found.returncode, found.stderr) == (0, "")
    plan = json.loads(found.stdout)
    root = build(tmp_path / "d", *flags)
    for split in ("train", "test"):
        metadata = json.loads((root / split / "dataset.json").read_text())
        assert plan[split] == {key: metadata[key] for key in plan[split]}
        assert {key: plan[key] for key in ("seq_len", "vocab_size", "num_puzzle_identifiers")} == {
            key: metadata[key] for key in ("seq_len", "vocab_size", "num_puzzle_identifiers")
        }


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--box", "3"), "--box"),
        (("--box", "9", "9"), "81 digits"),
        (("--clues", "many"), "--clues"),
        (("--clues", "500"), "cannot have"),
        (("--min-clues", "20"), "belong together"),
        (("--clues", "20", "--min-clues", "20", "--max-clues", "30"), "excludes"),
        (("--min-difficulty", "5", "--max-difficulty", "4"), "above"),
        (("--train", "0"), "must be from 1 to"),
        (("--train", "x"), "--train"),
        (("--nonsense",), "--nonsense"),
        (("--source", "x.csv", "--plan"), "--train and --test"),
    ],
)
def test_wrong_flags_are_one_line_and_exit_2(
    flags: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = sudoku.main(["--output-dir", str(tmp_path / "d"), *flags])
    except SystemExit as stop:
        code = stop.code
    message = capsys.readouterr().err
    assert code == 2
    assert words in message
    assert message.count("\n") == 1
    assert not (tmp_path / "d").exists()


def test_progress_as_json_lines(tmp_path: Path) -> None:
    found = run("--output-dir", tmp_path / "d", *SMALL, TRM_PROGRESS="json")
    assert (found.returncode, found.stderr) == (0, "")
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert lines[-1] == {"done": 450, "total": 450, "unit": "puzzles", "note": ""}
    assert [line["done"] for line in lines] == sorted(line["done"] for line in lines)


# ---------------------------------------------------------------- building again, beside, after


def test_the_directory_is_protected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = build(tmp_path / "d", *SMALL)
    whole = tree(root)
    build(root, *SMALL)
    assert "nothing to do" in capsys.readouterr().err
    other = [*SMALL, "--seed", "4"]
    assert sudoku.main(["--output-dir", str(root), *other]) == 3
    assert "seed 0 there, 4 now" in capsys.readouterr().err
    assert tree(root) == whole
    build(root, *other, "--rebuild")
    assert tree(root) == tree(build(tmp_path / "fresh", *other))
    with durable.locked_directory(root):
        assert sudoku.main(["--output-dir", str(root), *other]) == 3
    assert "another process" in capsys.readouterr().err
    (root / "manifest.json").unlink()
    assert sudoku.main(["--output-dir", str(root), *SMALL, "--rebuild"]) == 3
    assert "another program" in capsys.readouterr().err


def test_damage_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = build(tmp_path / "d", *SMALL)
    assert verify(root) == []
    path = root / "train/all__inputs.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert verify(root) == ["train/all__inputs.npy"]
    path.write_bytes(content[:-1])
    with pytest.raises(DatasetError, match=r"all__inputs\.npy has"):
        open_dataset([root], "train")
    assert sudoku.main(["--output-dir", str(root), *SMALL]) == 3
    assert "--rebuild" in capsys.readouterr().err


def test_an_unfinished_dataset_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(generate, "ATTEMPTS", 0)
        assert sudoku.main(["--output-dir", str(tmp_path / "d"), *SMALL]) == 3
    with pytest.raises(DatasetError, match="not complete"):
        open_dataset([tmp_path / "d"], "train")
    # Nothing was finished, so other flags may take the directory over.
    build(tmp_path / "d", *SMALL, "--seed", 2)


# ---------------------------------------------------------------- killed at any moment


class Crash(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("rebuild", "stride"),
    [
        (False, 5),
        (True, 6),
        pytest.param(False, 1, marks=pytest.mark.slow),
        pytest.param(True, 1, marks=pytest.mark.slow),
    ],
)
def test_stopped_at_every_durable_step_it_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rebuild: bool, stride: int
) -> None:
    flags = [*SMALL, "--workers", "1"]
    whole = tree(build(tmp_path / "whole", *flags))
    root, fsync, steps = tmp_path / "d", os.fsync, [0]
    if rebuild:
        # Parts of other flags and whole files of other flags: neither may end up in the new dataset.
        build(root, *SMALL, "--seed", 9)
        with monkeypatch.context() as patch:
            patch.setattr("dataset_builders.lib.sudoku.writing.write_dataset", lambda *_: (_ for _ in ()).throw(Crash))
            with pytest.raises(Crash):
                build(tmp_path / "parts", *SMALL, "--seed", 9)
        shutil.copytree(tmp_path / "parts/.build", root / ".build")
        old = tmp_path / "old"
        shutil.copytree(root, old)

    def crashing(descriptor: int) -> None:
        steps[0] -= 1
        if steps[0] == 0:
            raise Crash
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", crashing)
    for stop in range(1, 200, stride):
        shutil.rmtree(root, ignore_errors=True)
        if rebuild:
            shutil.copytree(old, root)
        steps[0] = stop
        try:
            build(root, *flags, *(["--rebuild"] if rebuild else []))
        except Crash:
            if not rebuild or read_manifest(root).seed == 0:
                steps[0] = 0
                build(root, *flags)
                assert tree(root) == whole, f"stopped at step {stop}"
        else:
            break
    assert 30 < stop < 199
    assert tree(root) == whole


def test_a_damaged_part_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tree(build(tmp_path / "whole", *SMALL))
    root = tmp_path / "d"
    with monkeypatch.context() as patch:
        patch.setattr("dataset_builders.lib.sudoku.writing.write_dataset", lambda *_: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            build(root, *SMALL)
    parts = sorted((root / ".build").iterdir())
    assert len(parts) == 5
    content = bytearray(parts[0].read_bytes())
    content[len(content) // 2] ^= 1
    parts[0].write_bytes(content)
    parts[1].write_bytes(b"")
    build(root, *SMALL)
    assert tree(root) == whole


def kill_until_done(root: Path, flags: tuple[object, ...], kills: int, longest: float, rng: random.Random) -> int:
    """Build, killed `kills` times at random moments, then to the end; return how many kills hit a running build."""
    hit = 0
    for index in range(kills):
        with subprocess.Popen(
            command("--output-dir", root, *flags), cwd=ROOT, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "TRM_PROGRESS": "json"},
        ) as process:  # fmt: skip
            assert process.stdout is not None
            if index % 2:
                time.sleep(rng.uniform(0, longest))
            else:  # in the middle of the work, however slow the start was
                share = rng.random()
                for line in process.stdout:
                    if (seen := json.loads(line))["done"] >= share * seen["total"]:
                        break
                time.sleep(rng.uniform(0, 0.05))
            process.kill()
            process.stdout.read()
            hit += process.wait() == -signal.SIGKILL
    build(root, *flags)
    return hit


def check_kills(tmp_path: Path, kills: int, flags: tuple[object, ...], workers: tuple[int, ...]) -> None:
    start = time.monotonic()
    build(tmp_path / "whole", *flags)
    longest = time.monotonic() - start
    rng = random.Random(0)
    for count in workers:
        root = tmp_path / f"workers{count}"
        assert kill_until_done(root, (*flags, "--workers", count), kills, longest, rng) > 0
        assert tree(root) == tree(tmp_path / "whole")


@pytest.mark.slow
def test_killed_a_few_times(tmp_path: Path) -> None:
    flags = ("--box", 3, 3, "--train", 900, "--test", 100, "--num-aug", 50, "--materialize")
    check_kills(tmp_path, 2, flags, (2,))


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path) -> None:
    flags = ("--box", 3, 3, "--train", 6000, "--test", 1000, "--num-aug", 20, "--materialize")
    check_kills(tmp_path, 20, flags, (1, 2, 4))


def test_sigterm_ends_with_its_code_and_continues(tmp_path: Path) -> None:
    flags = ("--output-dir", tmp_path / "d", "--box", 3, 3, "--train", 20000, "--test", 10, "--workers", 2)
    with subprocess.Popen(
        command(*flags), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TRM_PROGRESS": "json"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        while json.loads(process.stdout.readline())["done"] == 0:
            pass
        process.terminate()
        _, message = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "the same command continues" in message
    assert list((tmp_path / "d/.build").iterdir())
