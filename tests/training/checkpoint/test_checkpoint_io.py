"""A checkpoint is whole or recognised as damaged, and never runs code."""

from __future__ import annotations

import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch

from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_format import save_file
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint, read_summary, verify_checkpoint
from trm_cli.training.checkpoint.store import CheckpointStore


def small_state(step: int = 1) -> dict:
    generator = torch.Generator().manual_seed(step)
    return {"step": step, "model": {"w": torch.randn(5, 3, generator=generator)}, "name": "x", "nothing": None}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "step_00000001.pt"
    save_file(path, small_state(), {"step": 1, "run": "r"})
    return path


def test_a_saved_state_comes_back_and_torch_alone_can_open_it(checkpoint: Path) -> None:
    state, summary = load_checkpoint(checkpoint)
    assert summary == {"step": 1, "run": "r"}
    assert torch.equal(state["model"]["w"], small_state()["model"]["w"])
    assert torch.load(checkpoint, weights_only=True)["name"] == "x"
    assert read_summary(checkpoint) == summary


def test_a_flipped_bit_in_any_byte_is_recognised(checkpoint: Path, tmp_path: Path) -> None:
    whole = checkpoint.read_bytes()
    victim = tmp_path / "victim.pt"
    bits = random.Random(0)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bits.randrange(8)
        victim.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged"):
            verify_checkpoint(victim)


@pytest.mark.parametrize("change", ["empty", "half", "one byte short", "one byte long", "text", "zeros"])
def test_a_file_of_another_length_or_kind_is_recognised(checkpoint: Path, change: str) -> None:
    whole = checkpoint.read_bytes()
    damaged = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "one byte short": whole[:-1],
        "one byte long": whole + b"0",
        "text": b"not a checkpoint at all\n" * 50,
        "zeros": bytes(len(whole)),
    }[change]
    checkpoint.write_bytes(damaged)
    with pytest.raises(CheckpointError):
        load_checkpoint(checkpoint)


class _Code:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("code-ran"),))


def test_a_pickle_that_carries_code_is_refused_and_the_code_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "step_00000001.pt"
    save_file(path, {"step": 1, "model": _Code()}, {"step": 1})
    with pytest.raises(CheckpointError, match="refused"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(_Code()))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    assert not (tmp_path / "code-ran").exists()


def test_the_newest_whole_checkpoint_takes_the_place_of_a_damaged_one(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=3)
    for step in (10, 20, 30):
        store.save(step, small_state(step), {"run": "r"}, best=step == 10)
    newest = store.path(30)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    told: list[str] = []
    found = store.load_newest(told.append)
    assert found is not None
    state, _, path = found
    assert (state["step"], path.name) == (20, "step_00000020.pt")
    assert "step_00000030.pt is damaged" in told[0]
    assert "steps up to 30" in told[1]


def test_a_run_without_any_whole_checkpoint_is_not_started_again_in_silence(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=3)
    store.save(10, small_state(10), {}, best=False)
    store.path(10).write_bytes(b"")
    with pytest.raises(CheckpointError, match="no valid checkpoint"):
        store.load_newest(lambda message: None)


def test_a_file_under_another_steps_name_is_not_used(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=3)
    store.save(10, small_state(10), {}, best=False)
    shutil.copy(store.path(10), store.path(20))
    found = store.load_newest(lambda message: None)
    assert found is not None
    assert found[2] == store.path(10)


def test_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=2)
    for step in range(1, 8):
        store.save(step, small_state(step), {}, best=step == 3)
        store.prune()
    assert store.steps() == [3, 6, 7]
    assert (store.best_step(), store.latest_step()) == (3, 7)
    assert (tmp_path / "latest.pt").resolve() == store.path(7).resolve()


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CheckpointStore(tmp_path, keep=1)
    store.save(1, small_state(1), {}, best=False)

    def no_room(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", no_room)
    with pytest.raises(OSError, match="No space"):
        store.save(2, small_state(2), {}, best=False)
    monkeypatch.undo()
    found = store.load_newest(lambda message: None)
    assert found is not None
    assert found[0]["step"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.pt", "step_00000001.pt"]
