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

from tests.support.arc_grids import invert_grid
from tests.support.streams import ROOT, SMALL, command, contents, environment
from trm_cli.data.arc import transforms
from trm_cli.data.files.manifest import read_manifest, write_manifest
from trm_cli.data.opening import open_data
from trm_cli.data.puzzles.dataset import Batch, BatchOrder
from trm_cli.data.stream.canvas_codes import CanvasSpec, render_target
from trm_cli.data.stream.dataset import StreamDataset, open_stream
from trm_cli.data.stream.drawing import augmented, split_pair
from trm_cli.data.stream.heartbeat import Beat, Heartbeat, read_beats
from trm_cli.data.stream.vocabulary import EOS, FIRST_COLOUR, IGNORED, TEXT_TARGET, VOCAB_SIZE
from trm_cli.data.stream.waiting import Waiting
from trm_cli.errors import DatasetError

Builder = Callable[..., subprocess.CompletedProcess[str]]


def whole_epochs(data: StreamDataset, batch: int) -> BatchOrder:
    return BatchOrder(batch, data.facts.total_groups // batch)


def same(first: Batch, second: Batch) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def test_a_batch_is_a_function_of_seed_and_step(mixed_dataset: Path) -> None:
    one, other = (open_stream(mixed_dataset, "train", 224) for _ in range(2))
    order = whole_epochs(one, 16)
    for step in (1, order.steps_per_epoch, order.steps_per_epoch + 1, 5):
        assert same(one.train_batch(step, order, 3), other.train_batch(step, order, 3))
    assert not same(one.train_batch(1, order, 3), one.train_batch(1, order, 4))
    parts = [one.train_batch(2, order, 3, rows=slice(a, a + 8)) for a in (0, 8)]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    assert same(joined, one.train_batch(2, order, 3))


@pytest.mark.parametrize("canvas", [224, 84])
@pytest.mark.parametrize("rounding", ["per_epoch", "whole_run"])
def test_an_epoch_takes_every_record_once(mixed_dataset: Path, canvas: int, rounding: str) -> None:
    data = open_stream(mixed_dataset, "train", canvas)
    samples = data.facts.total_groups
    for epoch in (0, 1):
        places = {data._locate(7, epoch, place) for place in range(samples)}
        assert len(places) == samples
    order = BatchOrder(samples, 1, rounding)  # type: ignore[arg-type]
    kinds = [sorted(data.train_batch(step, order, 7)["canvas_kind"].tolist()) for step in (1, 2)]
    assert kinds[0] == kinds[1]


def test_epochs_differ_in_order(mixed_dataset: Path) -> None:
    data = open_stream(mixed_dataset, "train", 224)
    orders = [[data._locate(7, epoch, place) for place in range(50)] for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]
    # Epoch 0 walks the chunks as they are built.
    chunks = [data._locate(7, 0, place)[0] for place in range(data.facts.total_groups)]
    assert chunks == sorted(chunks)
    assert len(set(chunks)) > 2


def test_fields_are_what_a_model_expects(mixed_dataset: Path) -> None:
    for canvas in (224, 84):
        data = open_stream(mixed_dataset, "train", canvas)
        spec = CanvasSpec(canvas)
        batch = data.train_batch(1, whole_epochs(data, 64), 0)
        assert batch["canvas"].shape == (64, spec.cells) and batch["canvas"].dtype == np.uint8
        assert batch["target"].shape == (64, data.metadata.seq_len) == (64, spec.cells)
        assert {batch[key].dtype for key in ("canvas_kind", "target", "target_kind", "puzzle_identifiers")} == {
            np.dtype(np.int32)
        }
        assert batch["target"].max() < VOCAB_SIZE and set(np.unique(batch["canvas_kind"])) == {0, 1}
        grids, texts = batch["canvas_kind"] == 0, batch["canvas_kind"] == 1
        assert np.array_equal(batch["target_kind"], batch["canvas_kind"])
        assert batch["canvas"][grids].max() <= 10
        assert (batch["puzzle_identifiers"][grids] > 0).all() and not batch["puzzle_identifiers"][texts].any()
        assert batch["puzzle_identifiers"].max() < data.metadata.num_puzzle_identifiers
        # What is ignored comes after what is read: a causal target has no holes.
        read = batch["target"][texts] != IGNORED
        assert (read[:, :-1] >= read[:, 1:]).all() and read[:, 0].all() and read.sum(axis=1).max() <= TEXT_TARGET


def test_grids_too_large_are_left_out_and_said(mixed_dataset: Path) -> None:
    large, small = (open_stream(mixed_dataset, "train", canvas) for canvas in (224, 84))
    lost = large.facts.total_groups - small.facts.total_groups
    assert lost > 0
    assert any(f"{lost} grids larger than 12x12" in note for note in small.notes)
    assert not any("larger" in note for note in large.notes)


def test_a_text_goes_on_where_the_canvas_ends(mixed_dataset: Path) -> None:
    data = open_stream(mixed_dataset, "test", 84)
    full = open_stream(mixed_dataset, "test", 224)
    shard = full.store.shard(0)
    texts = {shard.payload(row).tobytes() for row in np.flatnonzero(np.asarray(shard.kind) == 1)}
    seen = 0
    for dataset in (data, full):
        batch = next(dataset.eval_batches(64))
        for row in np.flatnonzero((batch["canvas_kind"] == 1) & batch["valid"]):
            prefix = batch["canvas"][row].tobytes().rstrip(b"\0")
            following = render_target(batch["target"][row])
            assert any(prefix + following in text for text in texts)
            ends = EOS in batch["target"][row].tolist()
            assert ends == any(text.endswith(prefix + following) for text in texts)
            seen += 1
    assert seen > 4


def test_augmentation_is_the_same_for_input_and_answer_and_inverts(mixed_dataset: Path) -> None:
    data = open_stream(mixed_dataset, "train", 224)
    shard = data.store.shard(0)
    codes = np.load(mixed_dataset / "augmentations.npy")
    names = json.loads((mixed_dataset / "identifiers.json").read_text())
    assert len(names) == 1 + codes.size == data.metadata.num_puzzle_identifiers
    for row in np.flatnonzero(np.asarray(shard.kind) == 0)[:20].tolist():
        group = int(shard.group[row])
        given, wanted = split_pair(shard, row)
        results = set()
        for variant in range(codes.shape[1]):
            pair = augmented(given, wanted, int(codes[group - 1, variant]))
            results.add((pair[0].tobytes(), pair[1].tobytes(), pair[0].shape, pair[1].shape))
            _, chosen = transforms.parse_name(names[1 + (group - 1) * codes.shape[1] + variant])
            assert np.array_equal(invert_grid(pair[0], chosen), given)
            assert np.array_equal(invert_grid(pair[1], chosen), wanted)
        assert len(results) > 1


HAND_MADE = (
    (np.array([[0, 3, 3], [7, 0, 5]], np.uint8), np.array([[1, 2], [0, 7], [6, 6]], np.uint8)),
    (np.array([[4, 0], [0, 9]], np.uint8), np.array([[8, 8, 0, 4]], np.uint8)),
)


@pytest.fixture(scope="module")
def hand_made(build: Builder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of one task, with augmentations; no input looks like an output."""
    folder = tmp_path_factory.mktemp("hand")
    (first, answer), (second, solution) = ((given.tolist(), wanted.tolist()) for given, wanted in HAND_MADE)
    for subset, task in (("training", "made"), ("evaluation", "other")):
        challenge = {task: {"train": [{"input": first, "output": answer}], "test": [{"input": second}]}}
        (folder / f"arc_{subset}_challenges.json").write_text(json.dumps(challenge))
        (folder / f"arc_{subset}_solutions.json").write_text(json.dumps({task: [solution]}))
        first, answer, second, solution = [[5]], [[5, 1]], [[6, 1, 1]], [[2]]
    root = folder / "data"
    done = build("--output-dir", root, "--sources", f"arc:{folder}", "--augment", "--augmentations", "8")
    assert done.returncode == 0, done.stderr
    return root


def drawn_grid(cells: np.ndarray, lowest: int) -> np.ndarray:
    """The colours of the smallest rectangle around all cells from `lowest` on."""
    (top, left), (bottom, right) = (edge(np.argwhere(cells >= lowest), axis=0) for edge in (np.min, np.max))
    return cells[top : bottom + 1, left : right + 1].astype(int) - lowest


def test_input_and_answer_of_a_drawn_row_are_those_of_the_record_under_one_augmentation(hand_made: Path) -> None:
    # Defects 12 and 13: the input as the answer; an augmentation of the input alone.
    data, names = open_stream(hand_made, "train", 56), json.loads((hand_made / "identifiers.json").read_text())
    side, seen = data.spec.side, set()
    batch = data.train_batch(1, BatchOrder(80, 1), 0)
    for row, identifier in enumerate(batch["puzzle_identifiers"].tolist()):
        task, chosen = transforms.parse_name(names[identifier])
        if task != "made":
            continue
        given = drawn_grid(batch["canvas"][row].reshape(side, side), 1)
        wanted = drawn_grid(batch["target"][row].reshape(side, side), FIRST_COLOUR)
        pair = [invert_grid(grid.astype(np.uint8), chosen).tolist() for grid in (given, wanted)]
        assert pair in [[made.tolist() for made in pair] for pair in HAND_MADE]
        seen.add((identifier, str(pair)))
    assert len({identifier for identifier, _ in seen}) > 4 and len({pair for _, pair in seen}) == 2


def test_the_answer_lies_on_the_cells_of_the_canvas(mixed_dataset: Path) -> None:
    """Input and answer of a puzzle begin at the same cell, wherever they were shifted to."""
    data = open_stream(mixed_dataset, "train", 224)
    batch = data.train_batch(1, whole_epochs(data, 200), 0)
    side = data.spec.side
    for row in np.flatnonzero(batch["canvas_kind"] == 0):
        cells = batch["canvas"][row].reshape(side, side)
        answer = batch["target"][row].reshape(side, side)
        top_left = [np.argwhere(area)[0] for area in (cells > 0, answer >= FIRST_COLOUR)]
        assert np.array_equal(*top_left)


def test_every_record_of_the_test_split_is_evaluated_once(mixed_dataset: Path) -> None:
    data = open_stream(mixed_dataset, "test", 224)
    batches = list(data.eval_batches(7))
    assert len(batches) == data.eval_count(7)
    assert sum(int(batch["valid"].sum()) for batch in batches) == data.eval_rows == data.facts.total_groups
    assert all((batch["target"][~batch["valid"]] == IGNORED).all() for batch in batches)


def test_no_task_or_story_of_the_test_split_is_trained_on(mixed_dataset: Path) -> None:
    found: dict[str, set[bytes]] = {}
    for split in ("train", "test"):
        data = open_stream(mixed_dataset, split, 224)
        found[split] = {
            data.store.shard(chunk).payload(row).tobytes()
            for chunk in range(len(data.store.chunks))
            for row in range(len(data.store.shard(chunk)))
        }
    assert found["test"] and not found["train"] & found["test"]


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
    finished = open_stream(small_dataset, "train", 84)
    notices: list[str] = []
    deadline = time.monotonic() + 60
    while not any(beat.alive for beat in read_beats(root)) and time.monotonic() < deadline:
        if builder.poll() is not None:
            break
        time.sleep(0.01)
    growing = open_stream(root, "train", 84, Waiting(60.0, notices.append, poll=0.01))
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
    data = open_stream(root, "train", 84, Waiting(60.0, poll=0.01))
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
    data = open_stream(root, "train", 84, Waiting(60.0, poll=0.01))
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
    data = open_stream(root, "train", 84, Waiting(60.0, poll=0.01))
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
    data = open_stream(root, "train", 84, Waiting(0.5, notices.append, poll=0.01))
    order = whole_epochs(data, 32)
    with pytest.raises(DatasetError, match=r"waited .* nothing new was built"):
        data.train_batch(order.steps_per_epoch, order, 0)
    heart.stop()
    assert notices == [f"waiting for {name}: the builder has written 1,000 of 2,000 records"]


def test_without_waiting_an_unfinished_dataset_is_an_error(small_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    unfinished(small_dataset, root)
    data = open_stream(root, "train", 84)
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
        chunk.write_bytes(data[:20] + bytes([data[20] ^ 255]) + data[21:])
    if damage == "flipped":
        # One bit inside a tensor is what --verify looks for; reading every byte at each start would cost minutes.
        from trm_cli.data.files.manifest import verify

        assert verify(root) == ["stream_checkpoints/consolidated_000.pt"]
        return
    with pytest.raises(DatasetError, match="consolidated_000"):
        stream = open_stream(root, "train", 84)
        stream.train_batch(1, whole_epochs(stream, 8), 0)


def test_each_format_is_opened_as_what_it_is(small_dataset: Path, mixed_dataset: Path) -> None:
    assert open_data([small_dataset], "train", canvas_size=84).facts.total_groups > 1000
    with pytest.raises(DatasetError, match="reads rows of tokens"):
        open_data([small_dataset], "train")
    with pytest.raises(DatasetError, match="cannot be combined"):
        open_data([small_dataset, mixed_dataset], "train", canvas_size=84)
