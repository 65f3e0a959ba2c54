"""Sharded runs in two processes: saved in parts, killed while they save, resumed in as many processes or in others."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from tests.support.boards import write_boards
from tests.support.runs import differing, prepare, records, train
from tests.training.distributed.launching import ROOT, RUN, several_processes, trm, words
from trm_cli.app import create_app
from trm_cli.training.checkpoint.checkpoint_io import delete_checkpoint, load_checkpoint, shard_folder
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.loop import draws_of_rows
from trm_cli.training.run.datasets import TrainBatches

#: What a fixture of this module trains is trained once: one worker does all of it.

SHARDED = ("sharding=fsdp", "epochs=6", "eval_interval=2", "keep_checkpoints=9")
UPDATES = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and a run in two processes that was never stopped (`whole`)."""
    folder = tmp_path_factory.mktemp("sharded")
    write_boards(folder / "data", identifiers=5)
    done = trm(*words(folder, "whole", "--nproc-per-node", "2", *SHARDED))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return folder


def newest(run: Path) -> dict[str, Any]:
    return load_checkpoint((run / "latest.pt").resolve())[0]


def back_to(folder: Path, run: str, step: int) -> CheckpointStore:
    """A copy of the whole run as it was after `step`."""
    shutil.copytree(folder / "whole", folder / run, symlinks=True)
    store = CheckpointStore(folder / run, keep=9)
    for later in store.steps():
        if later > step:
            delete_checkpoint(store.path(later))
    store.point_latest(step)
    if store.best_step() not in store.steps():
        store.unlink_best()
    return store


def same_end(folder: Path, run: str) -> None:
    whole, other = folder / "whole", folder / run
    for link in ("latest.pt", "best.pt"):
        left, right = (load_checkpoint((path / link).resolve())[0] for path in (whole, other))
        assert differing(left, right, link) == []
    assert (whole / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()


def test_a_sharded_run_is_saved_in_parts_that_make_one_checkpoint(folder: Path) -> None:
    run = folder / "whole"
    steps = CheckpointStore(run).steps()
    assert steps == [5, 10, 15, 20, 25, 30]
    assert sorted(path.name for path in run.glob("*.parts")) == [f"step_{step:08d}.parts" for step in steps]
    assert all(len(list(path.iterdir())) == 2 for path in run.glob("*.parts"))
    listed = json.loads(trm("checkpoints", "verify", str(run), "--json").stdout)["checkpoints"]
    assert all(one["parts"] == 2 and one["verified"] for one in listed)
    state = newest(run)
    assert state["carry"]["steps"].shape == (8,)
    assert state["model"]["lm_head"].shape == (6, 16)
    assert state["trunk_optimizer"]["state"][0]["exp_avg"].shape == state["model"]["embed_tokens"].shape


def killed(folder: Path, run: str, place: str, rank: int, step: int) -> subprocess.CompletedProcess[str]:
    """Start or go on with a run whose process `rank` is killed while it saves `step`."""
    script = ROOT / "tests/training/distributed/killed_save.py"
    return several_processes(2, script, place, rank, step, *words(folder, run, *SHARDED))


@pytest.mark.slow
def test_a_process_that_is_killed_during_a_save_leaves_the_older_checkpoint(folder: Path) -> None:
    run = folder / "killed"
    store = CheckpointStore(run)
    for place, rank, step, last in (("part", 1, 10, 5), ("before the links", 0, 15, 15)):
        done = killed(folder, "killed", place, rank, step)
        assert done.returncode == 1 and "SIGKILL" in done.stdout, done.stderr
        assert store.steps()[-1] == last, place
        found = store.load_newest(lambda message: None)
        assert found is not None and found[0]["step"] == last
        assert shard_folder(store.path(step)).is_dir(), "the test kills during a save, not before it"
    assert store.latest_step() == 10
    done = trm("resume", str(run), "--nproc-per-node", "2")
    assert done.returncode == 0, done.stderr
    assert "after step 15" in done.stderr
    same_end(folder, "killed")


@pytest.mark.slow
def test_a_damaged_part_makes_the_run_go_on_from_the_older_checkpoint(folder: Path) -> None:
    store = back_to(folder, "damaged", 25)
    part = sorted(shard_folder(store.path(25)).iterdir())[1]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    assert trm("checkpoints", "verify", str(folder / "damaged")).returncode == 4
    done = trm("resume", str(folder / "damaged"), "--nproc-per-node", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is damaged") == 1 and "after step 20" in done.stderr
    same_end(folder, "damaged")


def close(folder: Path, run: str) -> None:
    """The same run up to the order in which sums were taken."""
    ours, theirs = records(folder / "whole", "train"), records(folder / run, "train")
    assert len(ours) == len(theirs) == UPDATES
    for one, other in zip(ours, theirs, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], abs=1e-5)
    a, b = newest(folder / "whole"), newest(folder / run)
    for name in ("steps", "halted"):
        assert torch.equal(a["carry"][name], b["carry"][name])
    assert differing(a["carry"]["data"], b["carry"]["data"]) == []
    for kind in ("model", "ema"):
        for name, value in a[kind].items():
            assert torch.allclose(value, b[kind][name], atol=1e-3), name


def test_one_process_goes_on_with_the_parts_of_two(folder: Path) -> None:
    back_to(folder, "one", 15)
    run = train(folder / "data", folder / "one", *RUN, *SHARDED)
    assert run.start.file is not None and run.start.file.name == "step_00000015.pt"
    close(folder, "one")
    assert not shard_folder(CheckpointStore(folder / "one").path(30)).exists()


@pytest.mark.slow
@pytest.mark.parametrize("source", ["parts", "one file"])
def test_four_processes_go_on_where_two_stopped(folder: Path, source: str) -> None:
    run = f"four of {source}"
    back_to(folder, run, 15)
    if source == "one file":
        assert trm("checkpoints", "consolidate", str(folder / run)).returncode == 0
    done = trm("resume", str(folder / run), "--nproc-per-node", "4")
    assert done.returncode == 0, done.stderr
    assert "after step 15" in done.stderr
    close(folder, run)


@pytest.mark.slow
def test_what_a_sharded_run_gave_up_on_is_kept_whole(folder: Path) -> None:
    """After the first update weights are so large that no other is finite: the checkpoint of the fifth has the same."""
    out_of_range = ("lr=10", "weight_decay=100", "lr_warmup_ratio=0", "nonfinite_limit=5")
    done = trm(*words(folder, "given-up", "--nproc-per-node", "2", *SHARDED, *out_of_range))
    path = folder / "given-up/nonfinite-00000006.pt"
    assert (done.returncode, done.stderr.count("error:")) == (1, 1), done.stderr
    assert "5 updates in a row were skipped" in done.stderr and path.name in done.stderr.replace("\n", "")
    kept = torch.load(path, weights_only=True)
    weights = load_checkpoint(CheckpointStore(folder / "given-up").path(5))[0]["model"]
    assert differing(kept["model"], weights) == []
    assert all(type(value) is torch.Tensor for value in kept["model"].values())
    alone, _ = prepare(folder / "data", folder / "unused", *RUN, *SHARDED)
    batch = TrainBatches(alone.datasets.train, alone.plan, alone.config.seed).train_batch(6)
    assert differing(kept["batch"], {name: torch.from_numpy(value) for name, value in batch.items()}) == []
    assert np.array_equal(kept["draws"], draws_of_rows(alone.config.seed, 6, slice(0, 8), 8, 2))
    assert kept["carry"]["steps"].shape == (8,) and kept["carry"]["data"]["inputs"].shape == (8, 16)


def said(*line: str) -> str:
    """What a command in this process prints."""
    done = CliRunner().invoke(create_app(), list(line))
    assert done.exit_code in (0, 1, 5), done.exception
    return done.stdout


@pytest.mark.slow
def test_every_command_takes_a_checkpoint_in_parts_and_the_file_that_it_becomes(folder: Path) -> None:
    store = back_to(folder, "used", 15)
    run, parts = folder / "used", load_checkpoint(store.path(15))[0]

    def use() -> tuple[str, dict[str, torch.Tensor]]:
        out = folder / "used.safetensors"
        said("checkpoints", "export", str(run), "--out", str(out))
        return said("solve", str(run), "2......2..434..1"), load_file(out)

    before = use()
    assert json.loads(said("checkpoints", "consolidate", str(run / "latest.pt"), "--json"))["parts"] == 2
    assert differing(torch.load(run / "latest.pt", weights_only=True), parts) == []
    assert not shard_folder(store.path(15)).exists()
    after = use()
    assert after[0] == before[0]
    assert differing(after[1], before[1]) == []
