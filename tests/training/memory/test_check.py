"""The check of memory before a run: what fits, what is advised where it does not, and what a full device is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from benchmarks.inputs.made_up import MadeUpRun
from benchmarks.speed.memory import run_of
from tests.support.commands import trm
from tests.support.runs import prepare, train
from trm_cli import app
from trm_cli.errors import TrmError
from trm_cli.training import loop
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.memory import check as check_module
from trm_cli.training.memory.check import _COMFORTABLE_ON_CPU, MemoryCheck
from trm_cli.training.signals import StopRequest
from trm_cli.workflows.train.within_memory import train_within_memory

SMALL = ("arch.hidden_size=64", "arch.num_heads=2", "arch.puzzle_emb_ndim=64", "arch.H_cycles=2", "arch.L_cycles=2")


def check_of(run: MadeUpRun, free: int | None) -> MemoryCheck:
    """The check of a run where so much is free."""
    check = MemoryCheck.of(run.config, run.metadata, run.machine, test=None)
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
    room = _COMFORTABLE_ON_CPU * check.needed.total / 2
    assert 0.7 * room < half.needed_with(micro_batch_size=rows).total <= room
    near = replace(check, free=int(0.95 * check.needed.total))
    assert near.tight and not near.hopeless, "a rough estimate refuses nothing that may fit"
    assert "not even one row" in replace(check, free=1000).advice()


def test_a_device_that_refuses_what_the_estimate_allowed_gets_fewer_rows() -> None:
    full = torch.OutOfMemoryError("CUDA out of memory.")
    check = check_of(run_of("trm attention", 32, "float32", *SMALL), 10**12)
    rows = advised_rows(check.refused(full, evaluating=False).hint)
    assert rows == 16
    alone = check_of(run_of("trm attention", 32, "float32", *SMALL, "micro_batch_size=1"), 10**12)
    assert "not even one row" in str(alone.refused(full, evaluating=False).hint)
    recomputed = check_of(run_of("trm attention", 32, "float32", *SMALL, "activation_checkpointing=true"), 10**12)
    assert "activation_checkpointing" in str(check.refused(full, evaluating=False).hint)
    assert "activation_checkpointing" not in str(recomputed.refused(full, evaluating=False).hint)


def test_processes_on_a_machine_share_the_memory_of_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of("trm attention", 8, "float32", *SMALL)
    monkeypatch.setattr(check_module, "free_memory", lambda device: 12_000)
    group = ProcessGroup()
    group.count, group.local_count = 4, 3
    alone = MemoryCheck.of(run.config, run.metadata, run.machine, test=None)
    shared = MemoryCheck.of(run.config, run.metadata, run.machine, test=None, process_group=group)
    assert (alone.free, shared.free) == (12_000, 4_000)
    assert (alone.rows, shared.rows) == (8, 2)


def test_where_an_evaluation_is_what_does_not_fit_its_batch_size_is_advised() -> None:
    # Fault A12: no micro_batch_size could help, and no key was there that could.
    run = run_of("trm attention", 1, "float32", *SMALL)
    check = MemoryCheck.of(run.config, run.metadata, run.machine, test=Split(100_000))  # type: ignore[arg-type]
    assert check.evaluated == 256 and check.needed.evaluation > 0
    updates = check.needed_with(evaluated=0).total
    full = replace(check, free=(updates + check.needed.total) // 2)
    assert full.tight
    advised = re.match(r"eval_batch_size=(\d+) fits by the estimate", full.advice())
    assert advised and 1 <= int(advised[1]) < 256
    assert full.needed_with(evaluated=int(advised[1])).total <= _COMFORTABLE_ON_CPU * (full.free or 0)
    assert (
        "an evaluation of 256 rows at once needs about"
        in replace(full, free=int(updates / _COMFORTABLE_ON_CPU) + 2).too_large().message
    )
    refused = full.refused(torch.OutOfMemoryError("CUDA out of memory."), evaluating=True)
    assert "an evaluation of 256 rows" in refused.message and "eval_batch_size=" in str(refused.hint)
    assert "an update of 1 rows" in replace(check, free=updates // 2).too_large().message


@pytest.mark.parametrize(("words", "rows"), [(("eval_batch_size=8",), 8), (("micro_batch_size=4",), 4)])
def test_evaluations_in_smaller_parts_need_less(words: tuple[str, ...], rows: int) -> None:
    whole, parts = (
        MemoryCheck.of(run.config, run.metadata, run.machine, test=Split(1000))  # type: ignore[arg-type]
        for run in (run_of("trm attention", 8, "float32", *SMALL, *more) for more in ((), words))
    )
    assert (whole.evaluated_at_once, parts.evaluated_at_once) == (256, rows)
    assert parts.needed.total < 0.6 * whole.needed.total


def test_a_device_that_is_full_in_an_evaluation_names_its_batch_size(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, go = checked(dataset, tmp_path / "run")

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(loop, "evaluate", full)
    with pytest.raises(TrmError, match="an evaluation of 16 rows at once needs about") as raised:
        go()
    assert "eval_batch_size=8" in str(raised.value.hint)


@dataclass(frozen=True)
class Split:
    """As much of a test set as its size."""

    eval_rows: int


def checked(data: Path, run: Path) -> tuple[MemoryCheck, Callable[[], object]]:
    """The memory check of a tiny run, and the run itself."""
    prepared, recorder = prepare(data, run)
    datasets = prepared.datasets
    check = MemoryCheck.of(prepared.config, datasets.train.metadata, prepared.machine, test=datasets.test)

    def go() -> object:
        with StopRequest() as stop:
            return train_within_memory(prepared, check, recorder, stop)

    return check, go


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 ..."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
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
    words += ["arch.hidden_size=16384", "global_batch_size=2", "threads=1", "wandb=disabled"]
    done = trm(*words, COLUMNS="80")
    assert done.returncode == 1, done.stderr
    assert "needs about" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_command_without_memory_says_so_in_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nGPU 0 ..."),
        RuntimeError("another"),
    ]

    def failing(_: object) -> int:
        raise errors[0]

    monkeypatch.setattr(app, "_run", failing)
    with pytest.raises(SystemExit) as ended:
        app.main()
    told = capsys.readouterr().err
    assert ended.value.code == 1 and "out of memory: CUDA out of memory." in told and "Traceback" not in told
    del errors[0]
    with pytest.raises(RuntimeError, match="another"):
        app.main()
