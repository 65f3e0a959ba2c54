"""Random corruptions of real checkpoint files: each is recognised, none is loaded, and whatever is whole is used."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support.boards import write_boards
from tests.support.runs import train
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.training.checkpoint.inventory import inventory
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.run.run_directory import RunDirectory
from trm_cli.training.run_files import read_identity

STEPS = (5, 10, 15)
Files = dict[int, bytes]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of one configuration on one dataset: nothing but their ids tells their files apart."""
    root = tmp_path_factory.mktemp("runs")
    data = write_boards(root / "data")
    for name in ("ours", "theirs"):
        train(data, root / name, "arch.hidden_size=8", stop_at_step=STEPS[-1])
    return root / "ours", root / "theirs"


def flip(chance: random.Random, ours: Files, theirs: Files, step: int) -> Files:
    data = bytearray(ours[step])
    for _ in range(chance.choice((1, 1, 1, 2, 64))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return {step: bytes(data)}


def flip_near_the_end(chance: random.Random, ours: Files, theirs: Files, step: int) -> Files:
    """Where the summary, the lengths and the digest are."""
    data = bytearray(ours[step])
    data[-chance.randrange(1, 4000)] ^= 1 << chance.randrange(8)
    return {step: bytes(data)}


def truncate(chance: random.Random, ours: Files, theirs: Files, step: int) -> Files:
    return {step: ours[step][: chance.choice((0, 1, chance.randrange(len(ours[step])), len(ours[step]) - 1))]}


def extend(chance: random.Random, ours: Files, theirs: Files, step: int) -> Files:
    more = chance.choice((b"\0", chance.randbytes(chance.randrange(1, 5000)), ours[step], ours[5][-2000:]))
    return {step: ours[step] + more}


def zero_a_block(chance: random.Random, ours: Files, theirs: Files, step: int) -> Files:
    data = ours[step]
    start = chance.randrange(len(data)) // 512 * 512
    size = min(chance.choice((512, 4096)), len(data) - start)
    return {step: data[:start] + bytes(size) + data[start + size :]}


def swap(chance: random.Random, ours: Files, theirs: Files, step: int) -> Files:
    other = chance.choice([one for one in STEPS if one != step])
    return {step: ours[other], other: ours[step]}


def another_step(chance: random.Random, ours: Files, theirs: Files, step: int) -> Files:
    return {step: ours[chance.choice([one for one in STEPS if one != step])]}


def another_run(chance: random.Random, ours: Files, theirs: Files, step: int) -> Files:
    return {step: theirs[step]}


def another_summary(chance: random.Random, ours: Files, theirs: Files, step: int) -> Files:
    """The tensors of one file with the end of another."""
    mark = b"trm-checkpoint:"
    other = chance.choice((ours[chance.choice(STEPS)], theirs[step]))
    return {step: ours[step][: ours[step].rindex(mark)] + other[other.rindex(mark) :]}


CHANGES: tuple[Callable[[random.Random, Files, Files, int], Files], ...] = (
    flip, flip_near_the_end, truncate, extend, zero_a_block, swap, another_step, another_run, another_summary,
)  # fmt: skip


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_each_corruption_is_recognised_and_none_is_loaded(runs: tuple[Path, Path], tmp_path: Path, count: int) -> None:
    ours, theirs = ({step: CheckpointStore(run).path(step).read_bytes() for step in STEPS} for run in runs)
    known = {step: load_checkpoint(CheckpointStore(runs[0]).path(step))[0] for step in STEPS}
    store = CheckpointStore(tmp_path, run=read_identity(runs[0])["run"])
    chance = random.Random(0)
    done = 0
    while done < count:
        change = CHANGES[done % len(CHANGES)]
        damage = change(chance, ours, theirs, chance.choice(STEPS))
        if any(ours[step] == data for step, data in damage.items()):
            continue  # a block that was zero before, or the end of the file itself
        done += 1
        for step in STEPS:
            store.path(step).write_bytes(damage.get(step, ours[step]))
        for step in damage:
            with pytest.raises(CheckpointError):
                store.load(step)
        whole = [step for step in STEPS if step not in damage]
        state, _, path = store.load_newest(lambda message: None)  # type: ignore[misc]
        assert path == store.path(whole[-1]), change.__name__
        name = "trunk_optimizer"
        assert torch.equal(state[name]["state"][0]["exp_avg"], known[whole[-1]][name]["state"][0]["exp_avg"])
    assert done == count


def test_a_checkpoint_of_another_run_is_named_as_such(runs: tuple[Path, Path], tmp_path: Path) -> None:
    ours, theirs = runs
    copy = CheckpointStore(ours).path(99)
    copy.write_bytes(CheckpointStore(theirs).path(15).read_bytes())
    CheckpointStore(ours).path(98).mkdir()
    try:
        entries = {entry.step: entry for entry in inventory(RunDirectory(ours).store(), verified=True)}
        told: list[str] = []
        found = RunDirectory(ours).store().load_newest(told.append)
    finally:
        copy.unlink()
        CheckpointStore(ours).path(98).rmdir()
    assert (entries[99].foreign, entries[98].problem is not None, entries[15].problem) == (True, True, None)
    assert found is not None
    assert found[0]["step"] == 15
    assert "belongs to another run" in told[0]
