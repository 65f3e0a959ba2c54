"""Memory before the first update: counted without taking any, compared with what is free and with what really was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from benchmarks.memory import in_a_process, peak, task_of
from tests.support.runs import EVERY_PART, prepare, train
from trm_cli.errors import TrmError
from trm_cli.models.kernels import cache
from trm_cli.training import loop
from trm_cli.training.hardware.resources import free_host_memory
from trm_cli.training.memory import kept_estimate
from trm_cli.training.memory import preflight as preflight_module
from trm_cli.training.memory.kept_estimate import keep, kept_or_new
from trm_cli.training.memory.ledger import Ledger, weightless
from trm_cli.training.memory.preflight import Preflight, Task, _carried_out, estimate
from trm_cli.training.run.build import make_model, make_state
from trm_cli.training.run_files import MEMORY
from trm_cli.training.signals import StopRequest
from trm_cli.training.step import StepSettings, update
from trm_cli.workflows.train.train import _train_within_memory

ROOT = Path(__file__).resolve().parents[3]
SMALL = ("arch.hidden_size=64", "arch.num_heads=2", "arch.puzzle_emb_ndim=64", "arch.H_cycles=2", "arch.L_cycles=2")
MINI = ("arch.replay_capacity=64", *EVERY_PART)


def really_allocated(task: Task) -> int:
    """The largest sum of real tensors during the second update: the same count, on tensors that exist."""
    config, rows = task.config, task.config.global_batch_size
    with Ledger() as ledger:
        model = make_model(config, task.metadata, task.machine.precision.value)
        if config.activation_checkpointing:
            model.recompute_activations()  # type: ignore[operator]
        state = make_state(config, model, task.machine)
        batch = {name: torch.from_numpy(array).clone() for name, array in task.blank(rows).items()}
        draws = torch.rand(rows, int(model.draws_per_row))  # type: ignore[arg-type]
        settings = StepSettings(rows, config.grad_clip, config.micro_batch_size)
        update(state, batch, draws, task.plan.values_at(1), settings)
        return ledger.most_in(lambda: update(state, batch, draws, task.plan.values_at(1), settings))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trm attention", ("float32", *SMALL)),
        ("trm attention", ("bfloat16", *SMALL, "optimizer=adamw")),
        ("trm mlp_t", ("bfloat16", *SMALL, "micro_batch_size=3")),
        ("hrm", ("float32", *SMALL, "activation_checkpointing=true", "arch.H_layers=2", "arch.L_layers=2")),
        pytest.param("hesc mini", ("bfloat16", *MINI), marks=pytest.mark.slow),
    ],
)
def test_what_is_counted_without_memory_is_what_an_update_allocates(
    name: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight_module, "_FEW", 0)
    task = task_of(name, 8, *words)
    counted = estimate(task)
    assert counted.total - counted.parts["allocator"] == pytest.approx(really_allocated(task), rel=0.03)
    assert min(counted.parts.values()) >= 0
    assert counted.parts["weights"] > 0.9 * counted.parts["gradients"] == 0.9 * counted.parts["average"]


@pytest.mark.parametrize("name", ["trm attention", "trm mlp_t"])
def test_ways_that_only_the_processor_takes_are_counted_as_well(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows at a time, forward and backward; the sums of products of a token MLP in place."""
    monkeypatch.setattr(preflight_module, "_FEW", 0)
    task = task_of(name, 8, "float32", *SMALL)
    whole = estimate(task)
    monkeypatch.setattr(cache, "_CACHED_NUMBERS", 81 * 64)
    counted = estimate(task)
    assert counted.parts["activations"] < 0.97 * whole.parts["activations"]
    assert counted.total - counted.parts["allocator"] == pytest.approx(really_allocated(task), rel=0.03)


@pytest.mark.parametrize("name", ["trm attention", "hesc mini"])
def test_a_small_network_is_carried_out_for_real_and_counted_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(name, 4, "float32", *(MINI if name == "hesc mini" else SMALL))
    with torch.random.fork_rng():
        before = torch.get_rng_state()
        real = estimate(task)
        assert torch.equal(torch.get_rng_state(), before), "a run would begin with other weights"
    monkeypatch.setattr(preflight_module, "_FEW", 0)
    counted = estimate(task)
    assert real.total == pytest.approx(counted.total, rel=0.03)
    for part in ("weights", "gradients", "optimizer", "average", "batch", "carry"):
        assert real.parts[part] == pytest.approx(counted.parts[part], rel=0.01), part


def test_a_start_of_training_loads_no_compiler(tmp_path: Path, dataset: Path) -> None:
    code = "import sys; from trm_cli.app import main\ntry: main()\nfinally: print('torch._dynamo' in sys.modules)"
    words = ["train", "sudoku-4x4", f"data_paths=[{dataset}]", f"checkpoint_path={tmp_path / 'run'}", "device=cpu"]
    line = [sys.executable, "-c", code, *words, "threads=1", "wandb=disabled", "--stop-at-step", "1"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_counted_as_the_processor_computes_it(masked: bool) -> None:
    """Without contents torch would write it out and keep the score of every pair of places."""

    def most(ledger: Ledger) -> int:
        q = torch.zeros(2, 4, 300, 16, requires_grad=True)
        mask = torch.ones(300, 300, dtype=torch.bool) if masked else None
        return ledger.most_in(lambda: functional.scaled_dot_product_attention(q, q, q, mask).sum().backward())

    with Ledger() as real:
        wanted = most(real)
    with weightless() as counted:
        assert most(counted) == pytest.approx(wanted, rel=0.03)


def test_slices_and_activations_computed_twice_need_less() -> None:
    plain, sliced, twice = (
        estimate(task_of("trm attention", 16, "float32", *SMALL, *more)).parts["activations"]
        for more in ((), ("micro_batch_size=4",), ("activation_checkpointing=true",))
    )
    assert sliced < 0.4 * plain
    assert twice < 0.5 * plain


def test_a_large_batch_is_told_from_two_small_ones() -> None:
    for words in (SMALL, (*SMALL, "micro_batch_size=10")):
        task = task_of("trm attention", 40, "float32", *words)
        told, counted = estimate(task), _carried_out(task, task.config.micro_batch_size or 40)
        assert told.micro_batch_size == counted.micro_batch_size
        assert told.total == pytest.approx(counted.total, rel=0.05)
        assert told.parts["activations"] == pytest.approx(counted.parts["activations"], rel=0.05)


def test_the_rows_that_are_advised_fit() -> None:
    task = task_of("trm attention", 32, "float32", *SMALL)
    needed = estimate(task)
    flight = Preflight(task, needed, free=needed.total // 2)
    assert not flight.fits
    advice = flight.advice()
    rows = int(advice.split("micro_batch_size=")[1].split()[0])
    assert 1 < rows < 32
    assert 0.6 * needed.total // 2 < estimate(task, micro_batch_size=rows).total <= needed.total // 2
    assert "not even one row" in Preflight(task, needed, free=1000).advice()
    assert Preflight(task, needed, free=None).fits


def test_a_device_that_refuses_what_the_estimate_allowed_gets_fewer_rows() -> None:
    full = torch.OutOfMemoryError("CUDA out of memory.")
    short = (*SMALL, "arch.H_cycles=1", "arch.L_cycles=1")
    for words, least in ((short, 8), ((*short, "arch.hidden_size=256"), 1)):  # few weights, and mostly weights
        task = task_of("trm attention", 32, "float32", *words)
        needed = estimate(task)
        hint = Preflight(task, needed, free=2 * needed.total).too_large(full).hint
        assert hint is not None
        rows = int(hint.split("micro_batch_size=")[1].split()[0])
        assert least <= rows <= 16
        assert estimate(task, micro_batch_size=rows).total < needed.total
    alone = task_of("trm attention", 32, "float32", *short, "micro_batch_size=1")
    hint = Preflight(alone, estimate(alone), free=10**12).too_large(full).hint
    assert hint is not None and "not even one row" in hint


def test_processes_share_what_is_kept_and_the_memory_of_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of("trm attention", 8, "float32", *SMALL)
    whole, parts = estimate(task), estimate(replace(task, shards=4))
    for name in ("optimizer", "average"):
        assert parts.parts[name] == whole.parts[name] // 4 > 0
    for name in ("weights", "gradients"):  # gathered for the length of an update, beside the part that is kept
        assert parts.parts[name] - whole.parts[name] == whole.parts["gradients"] // 4
    assert parts.parts["activations"] == whole.parts["activations"]
    monkeypatch.setattr(preflight_module, "free_memory", lambda device: 12_000)
    assert (Preflight.of(task, whole).free, Preflight.of(task, whole, neighbours=3).free) == (12_000, 4_000)


def test_what_is_free_is_the_smaller_of_machine_and_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16 kB\nMemAvailable:       8 kB\n")
    assert free_host_memory(meminfo, tmp_path) == 8192
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert free_host_memory(meminfo, tmp_path) == 8192
    (tmp_path / "memory.max").write_text("5000\n")
    assert free_host_memory(meminfo, tmp_path) == 4000
    (tmp_path / "memory.stat").write_text("anon 200\nfile 800\ninactive_file 700\nactive_file 100\n")
    assert free_host_memory(meminfo, tmp_path) == 4700, "files that are merely kept in memory give way"


def checked(data: Path, run: Path) -> tuple[Preflight, Callable[[], object]]:
    """A preflight of a tiny run, and the run itself."""
    prepared, recorder = prepare(data, run)
    sets = prepared.datasets
    task = Task(prepared.config, prepared.plan, sets.train.metadata, sets.train.blank, prepared.machine, evaluated=16)
    preflight = Preflight.of(task, estimate(task))

    def go() -> object:
        with StopRequest() as stop:
            return _train_within_memory(prepared, preflight, recorder, stop, None)  # type: ignore[arg-type]

    return preflight, go


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


def test_a_measured_peak_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    line = [sys.executable, "-c", "from benchmarks.memory import peak; print(peak())"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100 < peak(), "this process has loaded torch, the other one has not"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trm attention", "hesc mini"])
def test_the_estimate_is_within_a_seventh_of_the_measured_peak(name: str) -> None:
    words = (name, "8", "float32", "arch.H_cycles=1")
    guess, truth = in_a_process("estimate", *words)["estimate"], in_a_process("measure", *words)["measured"]
    assert guess == pytest.approx(truth, rel=0.15)


def test_an_estimate_is_kept_with_its_run_and_made_anew_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of("trm attention", 16, "float32", *SMALL)
    needed = estimate(task)
    keep(needed, task, tmp_path)
    monkeypatch.setattr(kept_estimate, "estimate", lambda _task: pytest.fail("counted again"))
    assert kept_or_new(task, tmp_path) == needed
    other = task_of("trm attention", 8, "float32", *SMALL)
    monkeypatch.setattr(kept_estimate, "estimate", lambda task: f"new {task.config.global_batch_size}")
    assert kept_or_new(other, tmp_path) == "new 8"
    (tmp_path / MEMORY).write_text('{"key": ')
    assert kept_or_new(task, tmp_path) == "new 16"
