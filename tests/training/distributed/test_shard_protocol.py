"""A sharded checkpoint: each call of a save may fail, each byte may be another, and no code runs."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.failing_disk import Crash, Disk
from tests.support.runs import differing
from trm_cli.config import registry
from trm_cli.config.compose import compose
from trm_cli.config.dump import dump_config
from trm_cli.errors import CheckpointError, UsageError
from trm_cli.training.checkpoint import checkpoint_format
from trm_cli.training.checkpoint.checkpoint_io import (
    ShardList,
    load_checkpoint,
    read_summary,
    shard_folder,
    verify_checkpoint,
)
from trm_cli.training.checkpoint.consolidation import consolidate
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.sharding import MAX_SHARDS, shard
from trm_cli.training.distributed.tensor_shards import TensorShards

COUNT = 3
CHANGES = ("write", "fsync", "replace", "unlink", "symlink", "mkdir")


def whole_of(step: int, version: int = 0) -> dict[str, Any]:
    """version: a step is saved again where something else of the state has changed, as after an evaluation."""
    random = torch.Generator().manual_seed(step + 100 * version)
    rows = {"w": torch.randn(7, 2, generator=random), "b": torch.randn(2, generator=random).bfloat16()}
    return {
        "step": step,
        "version": version,
        "model": {**rows, "table": torch.full((4,), float(step))},
        "carry": {"halted": rows["w"] > 0},
    }


def commit(directory: Path, step: int, version: int = 0, *, best: bool = False) -> None:
    """What the processes of a sharded run do when they save, one after the other."""
    store, state = CheckpointStore(directory, keep=2, run="r"), whole_of(step, version)
    cut = {name: torch.chunk(state["model"][name], COUNT) for name in ("w", "b")}
    save = store.begin_shards(step, 1)
    made = []
    for rank in range(COUNT):
        none = [state["model"][name][:0] for name in cut]
        model = {
            name: pieces[rank].clone() if rank < len(pieces) else none[at]
            for at, (name, pieces) in enumerate(cut.items())
        }
        own = {"model": model, "carry": {"halted": torch.chunk(state["carry"]["halted"], COUNT)[rank].clone()}}
        made.append(store.save_shard(step, save, rank, own, {"step": step, "part": rank, "of": COUNT}))
    shapes = {name: list(state["model"][name].shape) for name in cut}
    shared = {**state, "model": {**state["model"], **shapes}, "carry": {"halted": [7, 2]}}
    listed = ShardList(save, *zip(*made, strict=True))
    store.commit_shards(step, shared, {"run": "r"}, listed, best=best)
    store.prune()


def newest(directory: Path) -> int:
    found = CheckpointStore(directory, keep=2, run="r").load_newest(lambda message: None)
    assert found is not None
    assert differing(found[0], whole_of(found[0]["step"], found[0]["version"])) == []
    return int(found[0]["step"])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A run that has committed the steps 1 to 3, of which the first is the best."""
    for step in (1, 2, 3):
        commit(tmp_path / "run", step, best=step == 1)
    return tmp_path / "run"


def require_sound(directory: Path, *, at_least: int) -> None:
    assert newest(directory) >= at_least
    for link in ("latest.pt", "best.pt"):
        verify_checkpoint((directory / link).resolve())
    commit(directory, 5)
    assert newest(directory) == 5
    steps = CheckpointStore(directory).steps()
    assert len(steps) <= 3
    left = sorted(path.name for path in directory.iterdir() if not path.is_symlink())
    assert left == sorted(f"step_{step:08d}.{end}" for step in steps for end in ("pt", "parts"))
    assert all(len(list(folder.iterdir())) == COUNT for folder in directory.glob("*.parts"))


def changes_of_a_save(base: Path, copy: Path, step: int) -> list[int]:
    """The calls at which the disk changes; of writes that follow each other the first, because no name changes."""
    shutil.copytree(base, copy, symlinks=True)
    disk = Disk(copy)
    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        commit(copy, step, 1)
    shutil.rmtree(copy)
    changing = [at for at, name in enumerate(disk.calls) if name in CHANGES]
    before = [None, *changing]
    return [
        at
        for at, previous in zip(changing, before, strict=False)
        if previous is None or disk.calls[at] != "write" or disk.calls[previous] != "write"
    ]


@pytest.mark.parametrize("step", [4, 3], ids=["a new step", "the newest one again"])
@pytest.mark.parametrize("instead", [Crash, lambda: OSError(errno.ENOSPC, "full")], ids=["crash", "disk"])
def test_any_call_of_a_save_may_be_the_last(
    base: Path, tmp_path: Path, step: int, instead: Callable[[], BaseException]
) -> None:
    places = changes_of_a_save(base, tmp_path / "clean", step)
    assert len(places) > 20
    for at in places:
        copy = tmp_path / str(at)
        shutil.copytree(base, copy, symlinks=True)
        disk = Disk(copy, at, instead)
        with pytest.MonkeyPatch.context() as patch, pytest.raises((Crash, OSError, RuntimeError)):
            disk.install(patch)
            commit(copy, step, 1)
            raise OSError  # nobody minds that this call failed
        assert len(disk.calls) > at
        require_sound(copy, at_least=3)
        shutil.rmtree(copy)


def flipped(folder: Path, part: Path) -> None:
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)


def missing(folder: Path, part: Path) -> None:
    part.unlink()


def cut_short(folder: Path, part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-1])


def of_another_step(folder: Path, part: Path) -> None:
    (other,) = folder.with_name("step_00000002.parts").glob(f"*-{part.stem.split('-')[1]}.pt")
    shutil.copy(other, part)


def of_another_rank(folder: Path, part: Path) -> None:
    (other,) = folder.glob("*-00002.pt")
    shutil.copy(other, part)


@pytest.mark.parametrize("damage", [flipped, missing, cut_short, of_another_step, of_another_rank])
def test_a_shard_that_is_not_the_one_that_was_saved_is_recognised(base: Path, damage: Any) -> None:
    store = CheckpointStore(base, run="r")
    index = store.path(3)
    folder = shard_folder(index)
    (part,) = folder.glob("*-00001.pt")
    damage(folder, part)
    for check in (verify_checkpoint, load_checkpoint, *([] if damage is flipped else [read_summary])):
        with pytest.raises(CheckpointError, match=part.name):
            check(index)
    assert newest(base) == 2


class _Code:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("code-ran"),))


@pytest.mark.parametrize("place", ["part", "index"])
def test_a_forged_shard_runs_no_code(base: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checksum can be forged: such a file is valid, and loading refuses its code."""
    monkeypatch.chdir(base.parent)
    index = CheckpointStore(base).path(3)
    shared, summary = checkpoint_format.load_file(index)
    listed = ShardList.from_summary(summary, index)
    assert listed is not None
    part = listed.paths(index)[0]
    if place == "part":
        digest = checkpoint_format.save_file(part, {"model": {"w": _Code()}}, {})
        files = [(part.stat().st_size, digest), *zip(listed.sizes[1:], listed.checksums[1:], strict=True)]
        summary["parts"]["files"] = files
    checkpoint_format.save_file(index, {**shared, "more": _Code()} if place == "index" else shared, summary)
    assert verify_checkpoint(index)
    with pytest.raises(CheckpointError, match="refused by torch"):
        load_checkpoint(index)
    assert not (base.parent / "code-ran").exists()


def test_shards_that_do_not_fit_together_are_refused(base: Path) -> None:
    index = CheckpointStore(base).path(3)
    shared, summary = checkpoint_format.load_file(index)
    for changed in ({"carry": {"halted": [8, 2]}}, {"carry": None}, {"carry": {"halted": [7, 3]}}, {"model": {}}):
        checkpoint_format.save_file(index, {**shared, **changed}, summary)
        with pytest.raises(CheckpointError, match="do not fit together"):
            load_checkpoint(index)
    for parts in ({"save": "../../etc", "files": [[1, "a"]]}, {"save": "a", "files": []}, ["a"], {"save": "a"}):
        checkpoint_format.save_file(index, shared, {**summary, "parts": parts})
        with pytest.raises(CheckpointError, match="list of shards is not readable"):
            load_checkpoint(index)


def test_a_shard_is_no_checkpoint_of_its_own(base: Path) -> None:
    index = CheckpointStore(base).path(3)
    with pytest.raises(CheckpointError, match="one shard of a checkpoint of 3 processes") as caught:
        load_checkpoint(next(shard_folder(index).iterdir()))
    assert str(index) in str(caught.value.hint)


def test_an_index_lists_as_many_shards_as_a_run_may_have_with_any_configuration(tmp_path: Path) -> None:
    config = max((dump_config(compose(name, [])) for name in registry.names("models")), key=len)
    listed = ShardList("0" * 8, (10**16 - 1,) * MAX_SHARDS, ("0" * 64,) * MAX_SHARDS)
    # Half of the room that is left is for descriptions of datasets and whatever a configuration is given more.
    summary = {"step": 10**9, "config": config + "x" * 8_000, "parts": listed.to_json()}
    checkpoint_format.save_file(tmp_path / "index.pt", {}, summary)
    assert ShardList.from_summary(checkpoint_format.verify_file(tmp_path / "index.pt"), tmp_path / "index.pt") == listed
    with pytest.raises(UsageError, match=f"up to {MAX_SHARDS} processes, not {MAX_SHARDS + 1}"):
        shard(nn.Linear(1, 1), count=MAX_SHARDS + 1, device_type="cpu", precision="float32")


def test_what_a_file_cannot_say_of_itself_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    room = 65_535 - len(checkpoint_format.MARK) - len('{"a": ""}\n') - 64
    checkpoint_format.save_file(tmp_path / "full.pt", {}, {"a": "x" * room})
    assert checkpoint_format.verify_file(tmp_path / "full.pt") == {"a": "x" * room}
    with pytest.raises(CheckpointError, match="its summary takes 65,536 bytes of 65,535"):
        checkpoint_format.save_file(tmp_path / "more.pt", {}, {"a": "x" * (room + 1)})
    assert [path.name for path in tmp_path.iterdir()] == ["full.pt"]


def test_shards_become_one_file_in_its_place_or_elsewhere(base: Path, tmp_path: Path) -> None:
    store = CheckpointStore(base, run="r")
    links = [(base / name).readlink() for name in ("latest.pt", "best.pt")]
    out = tmp_path / "whole.pt"
    assert consolidate(store, 3, out).parts == COUNT
    assert shard_folder(store.path(3)).is_dir()
    assert consolidate(store, 3, None).parts == COUNT
    assert not shard_folder(store.path(3)).exists() and shard_folder(store.path(2)).is_dir()
    for path in (out, store.path(3)):
        assert differing(torch.load(path, weights_only=True), whole_of(3)) == []
    assert [(base / name).readlink() for name in ("latest.pt", "best.pt")] == links
    assert consolidate(store, 3, None).parts == 1
    require_files = sorted(path.name for path in base.iterdir() if path.name.startswith("."))
    assert require_files == []


def test_checkpoints_move_and_go_with_their_shards(base: Path) -> None:
    store = CheckpointStore(base, keep=1, run="r")
    store.point_latest(2)
    store.set_aside([3])
    assert load_checkpoint(base / "discarded/step_00000003.pt")[0]["step"] == 3
    assert newest(base) == 2
    store.prune()
    assert sorted(path.stem for path in base.glob("*.parts")) == ["step_00000001", "step_00000002"]


def test_an_ordinary_checkpoint_takes_the_place_of_a_sharded_one(base: Path) -> None:
    store = CheckpointStore(base, keep=9, run="r")
    store.save(3, whole_of(3), {"run": "r"}, best=False)
    store.prune()
    assert newest(base) == 3
    assert not shard_folder(store.path(3)).exists()


def test_rows_are_read_from_whatever_shards_there_are() -> None:
    tensor = torch.arange(22).view(11, 2)
    for count in (1, 2, 3, 11):
        chunks = torch.chunk(tensor, count)
        pieces = TensorShards([*chunks, tensor[:0]], [11, 2])
        for first in range(12):
            for last in range(first, 14):
                assert torch.equal(pieces[first:last], tensor[first:last])
        assert pieces[:].data_ptr() != tensor.data_ptr(), "a copy: the file may be deleted"
    with pytest.raises(ValueError, match="not the shards"):
        TensorShards([tensor], [12, 2])
