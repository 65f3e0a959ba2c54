"""Batches out of stream shards: pure, complete, and the same while the builder is still at work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.lib.stream.pictures.drawn import FONTS
from dataset_builders.lib.text.stories import story
from tests.support.arc_grids import invert_grid
from tests.support.streams import ROOT, SMALL, command, contents, environment
from trm_cli.data.arc import transforms
from trm_cli.data.files.manifest import read_manifest, write_manifest
from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.opening import open_data
from trm_cli.data.puzzles.dataset import Batch, BatchOrder
from trm_cli.data.stream.dataset import StreamDataset, open_stream
from trm_cli.data.stream.demonstrations import Demonstrations
from trm_cli.data.stream.rows import render_text
from trm_cli.data.stream.storage.heartbeat import Beat, Heartbeat, read_beats
from trm_cli.data.stream.storage.shard_file import ShardFile
from trm_cli.data.stream.storage.waiting import Waiting
from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, FIRST_COLOUR, FIRST_LABEL, PAD, START
from trm_cli.errors import DatasetError

Builder = Callable[..., subprocess.CompletedProcess[str]]


def whole_epochs(data: StreamDataset, batch: int) -> BatchOrder:
    return BatchOrder(batch, data.facts.total_groups // batch)


def same(first: Batch, second: Batch) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def test_a_batch_is_a_function_of_seed_and_step(mixed_dataset: Path) -> None:
    one, other = (open_stream(mixed_dataset, "train", 30) for _ in range(2))
    order = whole_epochs(one, 16)
    for step in (1, order.steps_per_epoch, order.steps_per_epoch + 1, 5):
        assert same(one.train_batch(step, order, 3), other.train_batch(step, order, 3))
    assert not same(one.train_batch(1, order, 3), one.train_batch(1, order, 4))
    parts = [one.train_batch(2, order, 3, rows=slice(a, a + 8)) for a in (0, 8)]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    assert same(joined, one.train_batch(2, order, 3))


def test_a_batch_in_which_no_task_has_another_pair(canvases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_stream(canvases, "train", 30)
    assert data.train_batch(1, whole_epochs(data, 16), 3)["pair_size"].any()
    monkeypatch.setattr(Demonstrations, "choose", lambda *given: np.full((len(given[1]), given[3]), -1))
    alone = data.train_batch(1, whole_epochs(data, 16), 3)
    assert alone["cells"].any() and not alone["pair_size"].any() and not alone["pair_cells"].any()


def place_of(data: StreamDataset, seed: int, epoch: int) -> list[tuple[int, int]]:
    """Chunk and record at each place of an epoch."""
    chunks, records = data._locate(seed, epoch, np.arange(data.facts.total_groups))
    return list(zip(chunks.tolist(), records.tolist(), strict=True))


@pytest.mark.parametrize("board", [30, 12])
@pytest.mark.parametrize("rounding", ["per_epoch", "whole_run"])
def test_an_epoch_takes_every_record_once(mixed_dataset: Path, board: int, rounding: str) -> None:
    data = open_stream(mixed_dataset, "train", board)
    samples = data.facts.total_groups
    for epoch in (0, 1):
        assert len(set(place_of(data, 7, epoch))) == samples
    order = BatchOrder(samples, 1, rounding)  # type: ignore[arg-type]
    kinds = [sorted(data.train_batch(step, order, 7)["kind"].tolist()) for step in (1, 2)]
    assert kinds[0] == kinds[1]


def test_epochs_differ_in_order(mixed_dataset: Path) -> None:
    data = open_stream(mixed_dataset, "train", 30)
    orders = [place_of(data, 7, epoch) for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]
    # Epoch 0 walks the chunks as they are built.
    chunks = [chunk for chunk, _ in orders[0]]
    assert chunks == sorted(chunks)
    assert len(set(chunks)) > 2


def test_a_batch_that_spans_epochs_is_made_of_their_rows(mixed_dataset: Path) -> None:
    data = open_stream(mixed_dataset, "train", 30)
    samples = data.facts.total_groups
    long = BatchOrder(samples + 40, 1, "whole_run")
    spanning = data.train_batch(1, long, 3)
    first, second = (data.train_batch(step, BatchOrder(samples, 1, "whole_run"), 3) for step in (1, 2))
    for key, value in spanning.items():
        assert np.array_equal(value[:samples], first[key]) and np.array_equal(value[samples:], second[key][:40])


def test_fields_are_what_a_model_expects(mixed_dataset: Path) -> None:
    for board in (30, 12):
        data = open_stream(mixed_dataset, "train", board)
        shape = data.shape
        assert (shape.side, shape.text_window, shape.demonstrations) == (board, 64, 3)
        assert shape.picture == (3, 16) and len(shape.labels) >= 30
        batch = data.train_batch(1, whole_epochs(data, 128), 0)
        described = {key: (value.dtype.name, value.shape[1:]) for key, value in batch.items()}
        assert described == {
            "kind": ("int32", ()),
            "cells": ("uint8", (board**2,)),
            "size": ("uint8", (4,)),
            "pair_cells": ("uint8", (3, 2, board**2)),
            "pair_size": ("uint8", (3, 4)),
            "text": ("int32", (64,)),
            "picture": ("uint8", (3, 16, 16)),
            "target": ("int32", (max(board**2, 64),)),
            "puzzle_identifiers": ("int32", ()),
        }
        assert data.metadata.seq_len == shape.target_length == max(board**2, 64)
        assert data.metadata.vocab_size == FIRST_LABEL + len(shape.labels)
        assert data.metadata.extra["board_side"] == board
        grids, texts, pictures = (batch["kind"] == kind for kind in (0, 1, 2))
        assert grids.any() and texts.any() and pictures.any()
        assert batch["cells"][grids].max() == 10 and not batch["cells"][~grids].any()
        assert (batch["size"][grids] > 0).all() and batch["size"].max() <= board and not batch["size"][~grids].any()
        assert (batch["puzzle_identifiers"][grids] > 0).all() and not batch["puzzle_identifiers"][~grids].any()
        assert batch["puzzle_identifiers"].max() < data.metadata.num_puzzle_identifiers
        assert (batch["text"][texts][:, 0] != PAD).all() and not batch["text"][~texts].any()
        assert batch["picture"][pictures].any(axis=(1, 2, 3)).all() and not batch["picture"][~pictures].any()
        labels = batch["target"][pictures]
        assert (labels[:, 0] >= FIRST_LABEL).all() and (labels[:, 1:] == IGNORED_LABEL).all()
        # What is ignored comes after what is learnt: every place of a text is.
        learnt = batch["target"][texts] != IGNORED_LABEL
        assert np.array_equal(learnt[:, :64], batch["text"][texts] != PAD) and not learnt[:, 64:].any()
        assert not batch["pair_cells"][~grids].any() and batch["pair_cells"][grids].any()
        assert blank_matches(data.blank(3), batch)


def blank_matches(blank: Batch, batch: Batch) -> bool:
    return blank.keys() == batch.keys() and all(
        value.dtype == batch[key].dtype and value.shape == (3, *batch[key].shape[1:]) for key, value in blank.items()
    )


def test_grids_too_large_are_left_out_and_said(mixed_dataset: Path) -> None:
    large, small = (open_stream(mixed_dataset, "train", board) for board in (30, 12))
    lost = large.facts.total_groups - small.facts.total_groups
    assert lost > 0
    assert any(f"{lost} grids larger than 12x12" in note for note in small.notes)
    assert not any("larger" in note for note in large.notes)


def test_each_byte_and_end_is_asked_once(mixed_dataset: Path) -> None:
    left = {story(0, index).encode() for index in range(60)}
    for split in ("test", "train"):
        data = open_stream(mixed_dataset, split, 30)
        batch = data.eval_at(np.arange(data.eval_rows))
        if split == "train":
            batch = data.train_batch(1, BatchOrder(data.facts.total_groups, 1), 0)
        rows = np.flatnonzero(batch["kind"] == 1)
        beginnings = [render_text(batch["text"][row]) for row in rows if batch["text"][row, 0] == START]
        texts = {text for text in left if any(text.startswith(beginning) for beginning in beginnings)}
        assert len(texts) == len(beginnings) > 2
        left -= texts
        asked = batch["target"][rows]
        counts = np.bincount(asked[asked != IGNORED_LABEL], minlength=FIRST_LABEL)
        expected = np.bincount(np.frombuffer(b"".join(texts), np.uint8), minlength=256)
        assert np.array_equal(counts[FIRST_BYTE : FIRST_BYTE + 256], expected)
        assert counts[EOS] == len(texts) and counts[START] == 0
    assert not left


HAND_MADE = (
    (np.array([[0, 3, 3], [7, 0, 5]], np.uint8), np.array([[1, 2], [0, 7], [6, 6]], np.uint8)),
    (np.array([[4, 0], [0, 9]], np.uint8), np.array([[8, 8, 0, 4]], np.uint8)),
    (np.array([[2, 6, 1]], np.uint8), np.array([[6, 1, 2]], np.uint8)),
)


@pytest.fixture(scope="module")
def hand_made(build: Builder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs of one task, with augmentations; no input looks like an output."""
    folder = tmp_path_factory.mktemp("hand")
    pairs = [{"input": given.tolist(), "output": wanted.tolist()} for given, wanted in HAND_MADE]
    other = [{"input": [[5]], "output": [[5, 1]]}, {"input": [[6, 1, 1]], "output": [[2]]}]
    for subset, task, (*shown, asked) in (("training", "made", pairs), ("evaluation", "other", other)):
        challenge = {task: {"train": shown, "test": [{"input": asked["input"]}]}}
        (folder / f"arc_{subset}_challenges.json").write_text(json.dumps(challenge))
        (folder / f"arc_{subset}_solutions.json").write_text(json.dumps({task: [asked["output"]]}))
    root = folder / "data"
    flags = ("--augment", "--augmentations", "8", "--demonstrations", "2")
    done = build("--output-dir", root, "--sources", f"arc:{folder}", *flags)
    assert done.returncode == 0, done.stderr
    return root


def read_pair(batch: Batch, row: int, side: int) -> tuple[list[list[int]], list[list[int]]]:
    """Input and answer of a row, cut out by their sizes; what lies beside them is empty, but for end marks."""
    height, width, out_height, out_width = batch["size"][row].tolist()
    cells = batch["cells"][row].reshape(side, side).astype(int)
    target = batch["target"][row].reshape(side, side)
    assert (cells[:height, :width] > 0).all() and cells.astype(bool).sum() == height * width
    marks = np.argwhere(target == EOS).tolist()
    assert all((r == out_height) != (c == out_width) for r, c in marks)
    assert len(marks) == out_width * (out_height < side) + out_height * (out_width < side)
    assert (target != IGNORED_LABEL).sum() == out_height * out_width + len(marks)
    return (cells[:height, :width] - 1).tolist(), (target[:out_height, :out_width] - FIRST_COLOUR).tolist()


def test_input_answer_and_demonstrations_are_those_of_the_task_under_one_augmentation(hand_made: Path) -> None:
    # Defects 12 and 13: the input as the answer; an augmentation of the input alone.
    data, names = open_stream(hand_made, "train", 8), json.loads((hand_made / "identifiers.json").read_text())
    side, seen = data.shape.side, set()
    assert side == 4, "the longest side of the dataset's grids"
    made = [[grid.tolist() for grid in pair] for pair in HAND_MADE]
    batch = data.train_batch(1, BatchOrder(120, 1), 0)
    for row, identifier in enumerate(batch["puzzle_identifiers"].tolist()):
        task, chosen = transforms.parse_name(names[identifier])
        if task != "made":
            assert not batch["pair_cells"][row].any(), (
                "the other task has one pair, which is never its own demonstration"
            )
            continue

        def undone(grid: list[list[int]], by: transforms.Transform = chosen) -> list[list[int]]:
            return invert_grid(np.array(grid, np.uint8), by).tolist()

        pair = [undone(grid) for grid in read_pair(batch, row, side)]
        own = made.index(pair)
        others = []
        for slot in range(2):
            height, width, out_height, out_width = batch["pair_size"][row, slot].tolist()
            boards = batch["pair_cells"][row, slot].reshape(2, side, side).astype(int)
            given, wanted = boards[0, :height, :width] - 1, boards[1, :out_height, :out_width] - 1
            assert boards.astype(bool).sum() == height * width + out_height * out_width
            others.append(made.index([undone(given.tolist()), undone(wanted.tolist())]))
        assert sorted([own, *others]) == [0, 1, 2]
        seen.add((identifier, own, tuple(others)))
    assert len({identifier for identifier, _, _ in seen}) > 4
    assert {(own, others) for _, own, others in seen} == {
        (0, (1, 2)), (0, (2, 1)), (1, (0, 2)), (1, (2, 0)), (2, (0, 1)), (2, (1, 0))
    }  # fmt: skip


def test_an_evaluation_shows_the_first_demonstrations_as_they_are(hand_made: Path) -> None:
    data = open_stream(hand_made, "test", 30)
    batch = data.eval_at(np.arange(3))
    assert batch["valid"].tolist() == [True, False, False]
    assert read_pair(batch, 0, 4) == ([[6, 1, 1]], [[2]])
    assert batch["pair_size"][0].tolist() == [[1, 1, 1, 2], [0, 0, 0, 0]]
    assert batch["pair_cells"][0, 0, :, :2].tolist() == [[6, 0], [6, 2]] and not batch["pair_cells"][1:].any()
    assert (batch["target"][1:] == IGNORED_LABEL).all() and not batch["cells"][1:].any()


def test_every_record_of_the_test_split_is_evaluated_once(mixed_dataset: Path) -> None:
    data = open_stream(mixed_dataset, "test", 30)
    batches = list(data.eval_batches(7))
    assert len(batches) == data.eval_count(7)
    assert sum(int(batch["valid"].sum()) for batch in batches) == data.eval_rows == data.facts.total_groups
    assert all((batch["target"][~batch["valid"]] == IGNORED_LABEL).all() for batch in batches)


def test_no_task_story_or_font_of_the_test_split_is_trained_on(mixed_dataset: Path) -> None:
    found: dict[str, set[bytes]] = {}
    for split in ("train", "test"):
        data = open_stream(mixed_dataset, split, 30)
        found[split] = set()
        for chunk in range(len(data.store.chunks)):
            shard = data.store.shard(chunk)
            whole = np.flatnonzero((shard.kind != 1) | (shard.flags & 1 > 0))
            found[split].update(shard.payloads(whole))
    assert found["test"] and not found["train"] & found["test"]
    assert not set(FONTS["train"]) & set(FONTS["test"])


# ---------------------------------------------------------------- while the builder works


def unfinished(source: Path, root: Path, missing: int = 1) -> list[str]:
    """Copy a dataset as it looks before its last `missing` chunks are written; returns their names."""
    shutil.copytree(source, root)
    manifest = read_manifest(root)
    assert manifest is not None
    chunks = [name for name in manifest.files if "consolidated_" in name and "test" not in name]
    gone = chunks[-missing:]
    files = {name: record for name, record in manifest.files.items() if name not in gone}
    write_manifest(root, replace(manifest, state="building", files=files, finished={}))
    for name in gone:
        (root / name).unlink()
    return gone


@pytest.mark.slow
def test_batches_are_those_of_the_finished_build(small_dataset: Path, tmp_path: Path) -> None:
    """Training on a directory that a real builder fills meanwhile; the builder is killed once and continued."""
    root = tmp_path / "d"
    flags = ("--output-dir", root, *SMALL, "--workers", "2")
    start = lambda: subprocess.Popen(command(*map(str, flags)), cwd=ROOT, env=environment())  # noqa: E731
    builder = start()
    while not list(root.rglob("consolidated_000.pt")):
        assert builder.poll() is None or list(root.rglob("consolidated_000.pt"))
        time.sleep(0.01)
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    builder = start()
    finished = open_stream(small_dataset, "train", 12)
    notices: list[str] = []
    deadline = time.monotonic() + 60
    while not any(beat.alive for beat in read_beats(root)) and time.monotonic() < deadline:
        if builder.poll() is not None:
            break
        time.sleep(0.01)
    growing = open_stream(root, "train", 12, Waiting(60.0, notices.append, poll=0.01))
    assert growing.fingerprint == finished.fingerprint
    order = whole_epochs(finished, 32)
    for step in range(1, 2 * order.steps_per_epoch):
        assert same(growing.train_batch(step, order, 5), finished.train_batch(step, order, 5))
    assert builder.wait(60) == 0
    assert contents(root) == contents(small_dataset)


def test_a_builder_that_died_ends_the_wait(small_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    unfinished(small_dataset, root)
    dead = subprocess.Popen(["true"])
    dead.wait()
    beat = Beat(dead.pid, socket.gethostname(), time.time(), 10, 20)
    (root / "stream_checkpoints" / "heartbeat.json").write_text(json.dumps(vars(beat)))
    data = open_stream(root, "train", 12, Waiting(60.0, poll=0.01))
    order = whole_epochs(data, 32)
    data.train_batch(1, order, 0)
    began = time.monotonic()
    with pytest.raises(DatasetError, match="interrupted and nobody continues"):
        data.train_batch(order.steps_per_epoch, order, 0)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("old_format", [False, True])
def test_another_process_with_the_id_of_a_dead_builder_is_not_waited_for(
    old_format: bool, small_dataset: Path, tmp_path: Path
) -> None:
    """After a restart, or in a container begun anew, the id of the builder is soon that of somebody else: here ours."""
    root = tmp_path / "d"
    unfinished(small_dataset, root)
    beat = vars(Beat(os.getpid(), socket.gethostname(), time.time() - 3600 * old_format, 10, 20, "", "another boot 1"))
    if old_format:
        del beat["started"]
    (root / "stream_checkpoints" / "heartbeat.json").write_text(json.dumps(beat))
    data = open_stream(root, "train", 12, Waiting(60.0, poll=0.01))
    order = whole_epochs(data, 32)
    began = time.monotonic()
    with pytest.raises(DatasetError, match="interrupted and nobody continues"):
        data.train_batch(order.steps_per_epoch, order, 0)
    assert time.monotonic() - began < 5


def test_a_live_builder_is_taken_for_one(tmp_path: Path) -> None:
    """Also where its heart was not heard for long: a process that is stopped, or a machine that swaps."""
    heart = Heartbeat(tmp_path, "")
    heart.start()
    heart.pause()
    (beat,) = read_beats(tmp_path)
    assert beat.alive
    assert replace(beat, time=0.0).alive is sys.platform.startswith("linux")


def test_a_builder_that_failed_is_quoted(small_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    unfinished(small_dataset, root)
    heart = Heartbeat(root, "")
    heart.start()
    heart.stop("cat.png does not decode")
    data = open_stream(root, "train", 12, Waiting(60.0, poll=0.01))
    order = whole_epochs(data, 32)
    with pytest.raises(DatasetError, match=r"cat\.png does not decode"):
        data.train_batch(order.steps_per_epoch, order, 0)


def test_waiting_has_a_limit_and_says_what_it_waits_for(small_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    (name,) = unfinished(small_dataset, root)
    heart = Heartbeat(root, "")
    heart.progress = lambda: (1000, 2000)
    heart.start()
    notices: list[str] = []
    data = open_stream(root, "train", 12, Waiting(0.5, notices.append, poll=0.01))
    order = whole_epochs(data, 32)
    with pytest.raises(DatasetError, match=r"waited .* nothing new was built"):
        data.train_batch(order.steps_per_epoch, order, 0)
    heart.stop()
    assert notices == [f"waiting for {name}: the builder has written 1,000 of 2,000 records"]


def test_without_waiting_an_unfinished_dataset_is_an_error(small_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    unfinished(small_dataset, root)
    data = open_stream(root, "train", 12)
    order = whole_epochs(data, 32)
    with pytest.raises(DatasetError, match="is not complete"):
        data.train_batch(order.steps_per_epoch, order, 0)


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "gone"])
def test_a_damaged_chunk_is_named(small_dataset: Path, tmp_path: Path, damage: str) -> None:
    root = tmp_path / "d"
    shutil.copytree(small_dataset, root)
    chunk = root / "stream_checkpoints" / "consolidated_000.pt"
    data = chunk.read_bytes()
    if damage == "gone":
        chunk.unlink()
    elif damage == "cut":
        chunk.write_bytes(data[:-100])
    elif damage == "text":
        chunk.write_bytes(b"x" * len(data))
    else:
        middle = len(data) // 2  # in the payload
        chunk.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with pytest.raises(DatasetError, match="consolidated_000"):
        stream = open_stream(root, "train", 12)
        stream.train_batch(1, whole_epochs(stream, 8), 0)


def test_a_chunk_is_verified_once_and_remembered(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "d"
    shutil.copytree(small_dataset, root)
    read: list[str] = []
    digest = ShardFile.sha256
    monkeypatch.setattr(ShardFile, "sha256", lambda file: read.append(file.path.name) or digest(file))
    monkeypatch.setattr("trm_cli.data.files.checked_files.WORTH_REMEMBERING", 1 << 10)

    def epoch_of(data: StreamDataset) -> None:
        for _ in range(2):
            for chunk in range(len(data.store.chunks)):
                data.store.shard(chunk)
            data.store.shard.cache_clear()

    epoch_of(open_stream(root, "train", 12))
    names = [f"consolidated_{number:03d}.pt" for number in range(3)]
    assert read == names
    epoch_of(open_stream(root, "train", 12))
    assert read == names, "a later start reads none of them"
    chunk = root / "stream_checkpoints" / names[1]
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(DatasetError, match=r"consolidated_001\.pt is damaged: its content is not"):
        epoch_of(open_stream(root, "train", 12))
    assert read == [*names, names[1]]


def test_a_chunk_that_is_cut_under_a_reader_is_named(small_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    shutil.copytree(small_dataset, root)
    data = open_stream(root, "train", 12)
    order = whole_epochs(data, 32)
    data.train_batch(1, order, 0)
    os.truncate(root / "stream_checkpoints" / "consolidated_000.pt", 2000)
    with pytest.raises(DatasetError, match=r"consolidated_000\.pt was changed while it was in use"):
        data.train_batch(2, order, 0)


@pytest.mark.parametrize("name", ["demonstrations.pt", "augmentations.npy"])
def test_a_damaged_file_beside_the_chunks_is_named(mixed_dataset: Path, tmp_path: Path, name: str) -> None:
    root = tmp_path / "d"
    shutil.copytree(mixed_dataset, root)
    content = bytearray((root / name).read_bytes())
    content[-40] ^= 1
    (root / name).write_bytes(content)
    with pytest.raises(DatasetError, match=name):
        open_stream(root, "train", 30)


def test_each_format_is_opened_as_what_it_is(small_dataset: Path, mixed_dataset: Path) -> None:
    assert open_data([small_dataset], "train", board_side=12).facts.total_groups > 1000
    with pytest.raises(DatasetError, match="reads rows of tokens"):
        open_data([small_dataset], "train")
    with pytest.raises(DatasetError, match="cannot be combined"):
        open_data([small_dataset, mixed_dataset], "train", board_side=12)
