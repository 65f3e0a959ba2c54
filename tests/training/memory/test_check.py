"""The check of memory before a run: what fits, what is advised where it does not, and what a full device is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.made_up import MadeUpRun
from benchmarks.memory import run_of
from tests.support.runs import prepare, train
from trm_cli.errors import TrmError
from trm_cli.training import loop
from trm_cli.training.memory import check as check_module
from trm_cli.training.memory.check import MemoryCheck
from trm_cli.training.signals import StopRequest
from trm_cli.workflows.train.train import _train_within_memory

ROOT = Path(__file__).resolve().parents[3]
SMALL = ("arch.hidden_size=64", "arch.num_heads=2", "arch.puzzle_emb_ndim=64", "arch.H_cycles=2", "arch.L_cycles=2")


def test_a_start_of_training_loads_no_compiler(tmp_path: Path, dataset: Path) -> None:
    code = "import sys; from trm_cli.app import main\ntry: main()\nfinally: print('torch._dynamo' in sys.modules)"
    words = ["train", "sudoku-4x4", f"data_paths=[{dataset}]", f"checkpoint_path={tmp_path / 'run'}", "device=cpu"]
    line = [sys.executable, "-c", code, *words, "threads=1", "wandb=disabled", "--stop-at-step", "1"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr


def check_of(run: MadeUpRun, free: int | None) -> MemoryCheck:
    """The check of a run where so much is free."""
    check = MemoryCheck.of(run.config, run.metadata, run.machine, evaluated=0)
    return replace(check, free=free)


def advised_rows(advice: str | None) -> int:
    return int(str(advice).split("micro_batch_size=")[1].split()[0])


def test_the_rows_that_are_advised_fit() -> None:
    check = check_of(run_of("trm attention", 32, "float32", *SMALL), None)
    assert not check.tight and not check.hopeless
    half = replace(check, free=check.needed.total // 2)
    assert half.tight and half.hopeless
    rows = advised_rows(half.advice())
    assert 1 < rows < 32
    assert 0.3 * check.needed.total < half.needed_with(rows).total <= check.needed.total // 2
    near = replace(check, free=int(0.95 * check.needed.total))
    assert near.tight and not near.hopeless, "a rough estimate refuses nothing that may fit"
    assert "not even one row" in replace(check, free=1000).advice()


def test_a_device_that_refuses_what_the_estimate_allowed_gets_fewer_rows() -> None:
    full = torch.OutOfMemoryError("CUDA out of memory.")
    check = check_of(run_of("trm attention", 32, "float32", *SMALL), 10**12)
    rows = advised_rows(check.too_large(full).hint)
    assert rows == 16
    alone = check_of(run_of("trm attention", 32, "float32", *SMALL, "micro_batch_size=1"), 10**12)
    assert "not even one row" in str(alone.too_large(full).hint)
    recomputed = check_of(run_of("trm attention", 32, "float32", *SMALL, "activation_checkpointing=true"), 10**12)
    assert "activation_checkpointing" in str(check.too_large(full).hint)
    assert "activation_checkpointing" not in str(recomputed.too_large(full).hint)


def test_processes_on_a_machine_share_the_memory_of_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of("trm attention", 8, "float32", *SMALL)
    monkeypatch.setattr(check_module, "free_memory", lambda device: 12_000)
    alone = MemoryCheck.of(run.config, run.metadata, run.machine, evaluated=0)
    shared = MemoryCheck.of(run.config, run.metadata, run.machine, evaluated=0, processes=4, neighbours=3)
    assert (alone.free, shared.free) == (12_000, 4_000)
    assert (alone.rows, shared.rows) == (8, 2)


def checked(data: Path, run: Path) -> tuple[MemoryCheck, Callable[[], object]]:
    """The memory check of a tiny run, and the run itself."""
    prepared, recorder = prepare(data, run)
    check = MemoryCheck.of(prepared.config, prepared.datasets.train.metadata, prepared.machine, evaluated=16)

    def go() -> object:
        with StopRequest() as stop:
            return _train_within_memory(prepared, check, recorder, stop, None)

    return check, go


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 ..."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_a_device_that_is_full_is_told_in_one_message(
    error: RuntimeError, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(dataset, tmp_path / "run", stop_at_step=5)
    before = {path: path.read_bytes() for path in (tmp_path / "run").glob("step_*.pt")}
    _, go = checked(dataset, tmp_path / "run")

    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(loop, "update", full)
    with pytest.raises(TrmError, match="an update of 8 rows at once needs about") as raised:
        go()
    assert raised.value.exit_code == 1 and str(error).splitlines()[0][:40] in raised.value.message
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").glob("step_*.pt")}


def test_another_error_is_not_taken_for_it(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, go = checked(dataset, tmp_path / "run")

    def broken(*_: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(loop, "update", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        go()


def test_a_run_that_cannot_fit_is_refused_before_it_begins(tmp_path: Path, dataset: Path) -> None:
    words = ["train", "sudoku-4x4", f"data_paths=[{dataset}]", f"checkpoint_path={tmp_path / 'run'}", "device=cpu"]
    line = [
        sys.executable,
        "-m",
        "trm_cli",
        *words,
        "arch.hidden_size=16384",
        "global_batch_size=2",
        "threads=1",
        "wandb=disabled",
    ]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, env={"COLUMNS": "80", "OMP_NUM_THREADS": "1"})
    assert done.returncode == 1, done.stderr
    assert "needs about" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
