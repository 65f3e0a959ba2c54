from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trm_cli.data.puzzles.dataset import BatchOrder, PuzzleDataset, open_dataset
from trm_cli.errors import DatasetError

Writer = Callable[..., Path]


def examples_of(batch: dict[str, np.ndarray]) -> list[int]:
    """Which examples a batch of the `write_puzzles` fixture holds."""
    return [int(value) - 1 for value in batch["inputs"][:, 0]]


def run_of(dataset: PuzzleDataset, order: BatchOrder, steps: int, seed: int = 0) -> list[int]:
    return [example for step in range(1, steps + 1) for example in examples_of(dataset.train_batch(step, order, seed))]


def test_an_epoch_holds_one_puzzle_of_each_group_with_all_its_examples(write_puzzles: Writer) -> None:
    dataset = open_dataset([write_puzzles([[2, 2, 2], [2], [2, 2], [2, 2]])], "train")
    group = np.repeat([0, 1, 2, 3], [6, 2, 4, 4])
    puzzle = np.repeat(np.arange(8), 2)
    for epoch in range(30):
        seen = [
            example
            for k in range(4)
            for example in examples_of(dataset.train_batch(4 * epoch + k + 1, BatchOrder(2, 4), 7))
        ]
        assert sorted(group[seen]) == [0, 0, 1, 1, 2, 2, 3, 3]
        pairs = np.array(seen).reshape(4, 2)
        assert (puzzle[pairs[:, 0]] == puzzle[pairs[:, 1]]).all(), "the examples of a puzzle follow each other"
        assert (pairs[:, 0] != pairs[:, 1]).all()


def test_every_augmentation_and_order_comes_up(write_puzzles: Writer) -> None:
    dataset = open_dataset([write_puzzles([[1, 1, 1], [2]])], "train")
    order = BatchOrder(3, 1)
    epochs = Counter(tuple(examples_of(dataset.train_batch(step, order, 0))) for step in range(1, 1201))
    # 2 group orders x 3 augmentations x 2 example orders, 100 each; a chi-square bound far in the tail (df 11).
    assert len(epochs) == 12
    assert sum((count - 100) ** 2 / 100 for count in epochs.values()) < 40


def test_per_epoch_drops_the_rest_and_whole_run_does_not(write_puzzles: Writer) -> None:
    path = write_puzzles([[1]] * 7)
    dataset = open_dataset([path], "train")
    per_epoch = run_of(dataset, BatchOrder(3, 2), 6)
    epochs = [sorted(per_epoch[start : start + 6]) for start in (0, 6, 12)]
    assert all(len(set(epoch)) == 6 for epoch in epochs)
    whole_run = run_of(dataset, BatchOrder(3, 2, "whole_run"), 7)
    assert [sorted(whole_run[start : start + 7]) for start in (0, 7, 14)] == [list(range(7))] * 3
    assert whole_run[:6] == per_epoch[:6]


def test_whole_run_does_not_depend_on_the_batch_size(write_puzzles: Writer) -> None:
    # Puzzle sizes vary within a group, so epochs would have different lengths: each is cut or filled to the mean.
    dataset = open_dataset([write_puzzles([[1, 4], [3], [2, 2, 5], [1]])], "train")
    streams = [run_of(dataset, BatchOrder(size, 1, "whole_run"), 60 // size) for size in (1, 3, 4, 60)]
    assert all(stream == streams[0] for stream in streams)


def test_a_batch_larger_than_the_dataset_is_filled(write_puzzles: Writer) -> None:
    dataset = open_dataset([write_puzzles([[1]] * 3)], "train")
    for rounding in ("per_epoch", "whole_run"):
        batch = examples_of(dataset.train_batch(5, BatchOrder(8, 1, rounding), 0))
        assert len(batch) == 8
        assert min(Counter(batch[:6]).values()) >= 1


@pytest.mark.parametrize("rounding", ["per_epoch", "whole_run"])
def test_ranks_draw_the_rows_of_one_batch(write_puzzles: Writer, rounding: str) -> None:
    dataset = open_dataset([write_puzzles([[1, 4], [3], [2, 2, 5], [1]] * 5)], "train")
    order = BatchOrder(12, 3, rounding)
    for step in (1, 4, 5, 50):
        whole = dataset.train_batch(step, order, 3)
        again = open_dataset(dataset.paths, "train")  # no cache, no history
        for key in whole:
            parts = [again.train_batch(step, order, 3, slice(4 * rank, 4 * rank + 4))[key] for rank in range(3)]
            assert np.array_equal(np.concatenate(parts), whole[key])


def test_seeds_and_epochs_differ(write_puzzles: Writer) -> None:
    dataset = open_dataset([write_puzzles([[1]] * 50)], "train")
    order = BatchOrder(50, 1)
    orders = {tuple(examples_of(dataset.train_batch(step, order, seed))) for step in (1, 2) for seed in (0, 1)}
    assert len(orders) == 4


def test_int64_files_and_ignored_labels(write_puzzles: Writer) -> None:
    dataset = open_dataset([write_puzzles([[1], [1]], dtype=np.int64)], "train")
    batch = dataset.train_batch(1, BatchOrder(2, 1), 0)
    assert {key: value.dtype for key, value in batch.items()} == dict.fromkeys(batch, np.dtype(np.int32))
    assert (batch["labels"][:, 1] == -100).all()
    assert (batch["labels"][:, [0, 2]] == batch["inputs"][:, [0, 2]]).all()
    kept = open_dataset([write_puzzles([[1], [1]], name="kept", ignore_label_id=None)], "train")
    assert (kept.train_batch(1, BatchOrder(2, 1), 0)["labels"][:, 1] == 0).all()


def test_evaluation_is_sequential_and_padded(write_puzzles: Writer) -> None:
    dataset = open_dataset([write_puzzles([[1, 2], [2]], split="test", pad_id=9)], "test")
    batches = list(dataset.eval_batches(3))
    assert len(batches) == dataset.eval_count(3) == 2
    assert examples_of(batches[0]) == [0, 1, 2]
    assert batches[1]["valid"].tolist() == [True, True, False]
    assert batches[1]["inputs"][2].tolist() == [9, 9, 9]
    assert batches[1]["labels"][2].tolist() == [-100] * 3
    assert batches[1]["puzzle_identifiers"].tolist() == [3, 3, 0]
    ranks = [dataset.eval_batch(1, 3, slice(rank, rank + 1)) for rank in range(3)]
    for key, value in batches[1].items():
        assert np.array_equal(np.concatenate([rank[key] for rank in ranks]), value)


def test_several_paths_combine(write_puzzles: Writer) -> None:
    first = write_puzzles([[1], [1]], name="first")  # identifiers 1, 2
    second = write_puzzles([[2], [2], [2]], name="second")  # identifiers 1, 2, 3 -> 3, 4, 5
    dataset = open_dataset([first, second], "train")
    assert dataset.metadata.total_groups == 5
    assert dataset.metadata.samples_per_epoch == 8
    assert dataset.metadata.num_puzzle_identifiers == 6
    batch = dataset.train_batch(1, BatchOrder(8, 1), 0)
    assert Counter(batch["puzzle_identifiers"].tolist()) == {1: 1, 2: 1, 3: 2, 4: 2, 5: 2}
    assert dataset.fingerprint != open_dataset([second, first], "train").fingerprint
    with pytest.raises(DatasetError, match="vocab_size is 4096 here and 5 there"):
        open_dataset([first, write_puzzles([[1]], name="third", vocab=5)], "train")


def test_the_fingerprint_is_of_the_content(write_puzzles: Writer, tmp_path: Path) -> None:
    path = write_puzzles([[1], [1]])
    moved = Path(shutil.copytree(path, tmp_path / "moved"))
    assert open_dataset([path], "train").fingerprint == open_dataset([moved], "train").fingerprint
    labels = np.load(moved / "train/all__labels.npy")
    labels[0, 0] += 1
    np.save(moved / "train/all__labels.npy", labels)
    assert open_dataset([path], "train").fingerprint != open_dataset([moved], "train").fingerprint


def _edit(path: Path, **changes: object) -> None:
    raw = json.loads(path.read_text())
    raw.update(changes)
    path.write_text(json.dumps({key: value for key, value in raw.items() if value != "DROP"}))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing directory": (lambda root: shutil.rmtree(root), "does not exist"),
    "missing metadata": (lambda root: (root / "train/dataset.json").unlink(), "dataset.json is missing"),
    "metadata is no JSON": (lambda root: (root / "train/dataset.json").write_text("{"), "damaged JSON"),
    "metadata is a list": (lambda root: (root / "train/dataset.json").write_text("[]"), "JSON object"),
    "key missing": (lambda root: _edit(root / "train/dataset.json", vocab_size="DROP"), "vocab_size"),
    "key of a wrong type": (lambda root: _edit(root / "train/dataset.json", seq_len=True), "seq_len"),
    "newer format": (lambda root: _edit(root / "train/dataset.json", format_version=99), "newer"),
    "unknown augmentation": (lambda root: _edit(root / "train/dataset.json", augmentation={"kind": "x"}), "unknown"),
    "groups differ": (lambda root: _edit(root / "train/dataset.json", total_groups=3), "total_groups"),
    "other width": (lambda root: _edit(root / "train/dataset.json", seq_len=4), "seq_len=4"),
    "identifiers out of range": (lambda root: _edit(root / "train/dataset.json", num_puzzle_identifiers=2), "identif"),
    "array missing": (lambda root: (root / "train/all__labels.npy").unlink(), "all__labels.npy is missing"),
    "array empty": (lambda root: (root / "train/all__labels.npy").write_bytes(b""), "all__labels.npy is damaged"),
    "array cut": (lambda root: (root / "train/all__inputs.npy").write_bytes(b"\x93NUMPY\x01"), "inputs.npy is damaged"),
    "array of floats": (lambda root: np.save(root / "train/all__inputs.npy", np.zeros((2, 3))), "must hold integers"),
    "array of objects": (
        lambda root: np.save(root / "train/all__inputs.npy", np.array([[{}]], dtype=object)),
        "must hold integers",
    ),
    "offsets wrong": (
        lambda root: np.save(root / "train/all__puzzle_indices.npy", np.array([0, 2, 2])),
        "puzzle_indices must rise",
    ),
    "tokens out of range": (
        lambda root: np.save(root / "train/all__inputs.npy", np.full((2, 3), 5000)),
        "inputs holds 5000..5000",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(write_puzzles: Writer, damage: str) -> None:
    root = write_puzzles([[1], [1]])
    act, words = DAMAGES[damage]
    act(root)
    with pytest.raises(DatasetError) as caught:
        open_dataset([root], "train").train_batch(1, BatchOrder(2, 1), 0)
    assert words in caught.value.message
    assert str(root) in caught.value.message


def test_groups_that_rest_leave_their_places_to_the_others(write_puzzles: Writer) -> None:
    dataset = open_dataset([write_puzzles([[2], [2], [2], [2]])], "train")
    order, group = BatchOrder(4, 2, "whole_run"), np.repeat(np.arange(4), 2)
    seen = Counter(
        int(group[example])
        for step in range(1, 13)
        for example in examples_of(dataset.train_batch(step, order, 0, None, (1, 3)))
    )
    assert seen == {0: 24, 2: 24}
    again = dataset.train_batch(5, order, 0, slice(1, 3), (1, 3))
    assert examples_of(again) == examples_of(dataset.train_batch(5, order, 0, None, (1, 3)))[1:3]
    with pytest.raises(ValueError, match="all groups rest"):
        dataset.train_batch(1, order, 0, None, (0, 1, 2, 3))
