"""One run in two processes: the same batches, losses and scores as in one, and nothing lost whatever ends them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.boards import write_boards
from tests.support.runs import HESC, TINY_RUN, differing, records, train
from tests.training.distributed.launching import RUN, environment, processes, running, trm, words
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint

#: What a fixture of this module trains is trained once: one worker does all of it.

UPDATES = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of several puzzle identifiers, a run of it in one process (`one`) and one in two (`two`)."""
    folder = tmp_path_factory.mktemp("processes")
    write_boards(folder / "data", identifiers=5)
    train(folder / "data", folder / "one", *RUN)
    done = trm(*words(folder, "two", "--nproc-per-node", "2"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 2 and done.stdout.startswith("done: ")
    assert len(re.findall("Command: trm train", done.stderr)) == 1, "only the first process speaks"
    assert "Warning" not in done.stderr
    return folder


def newest(run: Path) -> dict[str, Any]:
    return load_checkpoint((run / "latest.pt").resolve())[0]


def close(left: Path, right: Path, tolerance: float = 1e-5) -> None:
    """Two runs agree up to the order in which sums were taken; what is counted agrees exactly."""
    ours, theirs = records(left, "train"), records(right, "train")
    assert len(ours) == len(theirs) == UPDATES
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert other[name] == (value if value is None or name == "kind" else pytest.approx(value, abs=tolerance)), (
                name
            )
    assert records(left, "eval") == records(right, "eval")
    a, b = newest(left), newest(right)
    for name, value in a["carry"]["data"].items():
        assert torch.equal(value, b["carry"]["data"][name]), f"{name}: other rows, or in another order"
    assert torch.equal(a["carry"]["steps"], b["carry"]["steps"])
    for name, value in a["model"].items():
        assert torch.allclose(value, b["model"][name], atol=1e-3), name


def test_two_processes_train_the_same_model_as_one(folder: Path) -> None:
    close(folder / "one", folder / "two")
    moved = newest(folder / "two")["model"]["puzzle_embedding.weight"].abs().sum(1)
    assert (moved > 0).sum() == 5, "the test says something about the table only where several rows move"


def same_end(folder: Path, run: str) -> None:
    for link in ("latest.pt", "best.pt"):
        left, right = (load_checkpoint((folder / name / link).resolve())[0] for name in ("two", run))
        assert differing(left, right, link) == []
    assert (folder / "two/metrics.jsonl").read_bytes() == (folder / run / "metrics.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_other_and_nothing_is_lost(folder: Path, rank: int) -> None:
    run = f"killed-{rank}"
    with running(folder, run, updates=17) as launcher:
        both = processes(launcher.pid)
        os.kill(both[rank], signal.SIGKILL)
        _, said = launcher.communicate(timeout=30)
    assert launcher.returncode == 1
    assert said.count("error:") == 1 and "killed by SIGKILL" in said
    assert "Traceback" not in said
    assert not any(Path(f"/proc/{process}").exists() for process in both)
    done = trm("resume", str(folder / run), "--nproc-per-node", "2")
    assert done.returncode == 0, done.stderr
    going_on = re.search(r"continuing .* after step (\d+)\b", done.stderr)
    # The kill came at update 17 or a little later, by how busy the machine is; every fifth is saved.
    assert going_on and 10 <= int(going_on[1]) < UPDATES
    same_end(folder, run)


def test_a_signal_to_the_launcher_saves_and_one_process_goes_on(folder: Path) -> None:
    with running(folder, "stopped", updates=17) as launcher:
        launcher.send_signal(signal.SIGTERM)
        said, errors = launcher.communicate(timeout=30)
    assert launcher.returncode == 75, errors
    assert "everything saved" in said
    step = newest(folder / "stopped")["step"]
    assert 15 <= step < UPDATES
    assert newest(folder / "stopped")["carry"]["steps"].shape == (8,)
    train(folder / "data", folder / "stopped", *RUN)
    close(folder / "two", folder / "stopped")


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_and_both_go_on_to_the_same_bits(folder: Path) -> None:
    with running(folder, "told", updates=17) as launcher:
        os.kill(processes(launcher.pid)[1], signal.SIGINT)
        _, said = launcher.communicate(timeout=30)
    assert launcher.returncode == 130, said
    assert trm("resume", str(folder / "told"), "--nproc-per-node", "2").returncode == 0
    same_end(folder, "told")


@pytest.mark.slow
def test_two_processes_go_on_where_one_stopped(folder: Path) -> None:
    train(folder / "data", folder / "grown", *RUN, stop_at_step=23)
    done = trm("resume", str(folder / "grown"), "--nproc-per-node", "2")
    assert done.returncode == 0, done.stderr
    close(folder / "one", folder / "grown")


@pytest.mark.slow
def test_three_processes_that_stop_end_with_the_bits_of_those_that_do_not(folder: Path) -> None:
    three = ("global_batch_size=6", "epochs=4", "--nproc-per-node", "3")
    for run, more in (("whole-3", ()), ("stopped-3", ("--stop-at-step", "11")), ("stopped-3", ())):
        done = trm(*words(folder, run, *three, *more))
        assert done.returncode == 0, done.stderr
    ends = [newest(folder / run) for run in ("whole-3", "stopped-3")]
    assert differing(*ends) == []
    assert (folder / "whole-3/metrics.jsonl").read_bytes() == (folder / "stopped-3/metrics.jsonl").read_bytes()


@pytest.mark.slow
def test_mistakes_are_told_once_and_before_anything_is_started(folder: Path) -> None:
    odd = trm(*words(folder, "odd", "--nproc-per-node", "3"))
    assert odd.returncode == 2
    assert "global_batch_size=8 cannot be shared evenly by 3 processes" in odd.stderr
    assert "use 1, 2, 4 or 8 processes" in odd.stderr
    assert not (folder / "odd").exists()
    dry = trm(*words(folder, "odd", "--nproc-per-node", "2", "--dry-run"))
    assert dry.returncode == 0 and "nothing was written" in dry.stdout


@pytest.mark.slow
def test_an_error_of_all_processes_is_told_once(folder: Path) -> None:
    write_boards(folder / "other", train=41, identifiers=5)
    line = [
        f"data_paths=[{folder / 'other'}]" if word.startswith("data_paths") else word for word in words(folder, "two")
    ]
    done = trm(*line, "--nproc-per-node", "2")
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("error:") == 1
    assert "another dataset" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_sharded_run_is_the_same_run_and_may_stop_being_sharded(folder: Path) -> None:
    sharded = words(folder, "sharded", "--nproc-per-node", "2", "sharding=fsdp")
    done = trm(*sharded, "--stop-at-step", "23")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    done = trm("resume", str(folder / "sharded"), "--nproc-per-node", "2", "--stop-at-step", "44")
    assert done.returncode == 0, done.stderr
    train(folder / "data", folder / "sharded", *RUN)
    close(folder / "one", folder / "sharded")


@pytest.mark.slow
def test_torchrun_starts_the_same_run(folder: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line = [sys.executable, *launcher, "-m", "trm_cli", *words(folder, "torchrun")]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    same_end(folder, "torchrun")


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "fsdp"])
def test_capsules_learn_from_the_rows_of_both_processes(tmp_path: Path, canvases: Path, sharding: str) -> None:
    """Replay and the balance of paths are about a whole batch, whoever computes its rows, whatever their kinds."""
    settings = (*HESC, "dqn_warmup_ratio=0.1", "epochs=1", "global_batch_size=16")
    train(canvases, tmp_path / "one", *settings, arch="multimodal_hesc_mini")
    paths = [f"data_paths=[{canvases}]", f"checkpoint_path={tmp_path / 'two'}"]
    line = ["train", "sudoku-4x4", "arch=multimodal_hesc_mini", *paths, *TINY_RUN, *settings]
    done = trm(*line, f"sharding={sharding}", "--nproc-per-node", "2")
    assert done.returncode == 0, done.stderr
    ours, theirs = records(tmp_path / "one", "train"), records(tmp_path / "two", "train")
    assert len(ours) == len(theirs) > 15
    for one, other in zip(ours, theirs, strict=True):
        for name in ("loss", "td_loss", "planner_balance_loss", "checksum_loss", "rows", "chose_halt"):
            assert other[name] == pytest.approx(one[name], rel=1e-3, abs=1e-4), (one["step"], name)
    assert ours[-1]["td_loss"] > 0
    a, b = newest(tmp_path / "one")["model"], newest(tmp_path / "two")["model"]
    assert int(a["replay.written"]) == int(b["replay.written"]) > 8
    assert torch.equal(a["replay.action"], b["replay.action"])
    usual = "network.recursion.workspace.checksum.usual_detail"
    assert torch.allclose(a[usual], b[usual], atol=1e-3)
