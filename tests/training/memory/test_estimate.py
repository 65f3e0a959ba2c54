"""The estimate of memory: close to what an update really allocates, for any number of rows, without taking any."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from benchmarks.inputs.made_up import MadeUpRun, made_up_metadata
from benchmarks.speed.memory import in_a_process, peak, run_of
from tests.support.runs import EVERY_PART
from tests.support.selection import slow_but
from trm_cli.config.compose import compose
from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.stream.blank import blank_rows
from trm_cli.data.stream.records import GRID
from trm_cli.data.stream.shape import StreamShape
from trm_cli.models.measuring import fused_attention
from trm_cli.training.memory import estimate as estimate_module
from trm_cli.training.memory.check import _COMFORTABLE_ON_CPU
from trm_cli.training.memory.estimate import MemoryModel, measure_memory, most_rows
from trm_cli.training.run.build import blank_batch, make_model, make_state
from trm_cli.training.step import StepSettings, update

SMALL = ("arch.hidden_size=64", "arch.num_heads=2", "arch.puzzle_emb_ndim=64", "arch.H_cycles=2", "arch.L_cycles=2")
MINI = ("arch.hidden_size=64", "arch.token_size=64", "arch.puzzle_emb_ndim=64", "arch.replay_capacity=64", *EVERY_PART)


def measured(run: MadeUpRun) -> MemoryModel:
    return measure_memory(run.config, run.metadata, precision=run.machine.precision.value, device="cpu")


def really_allocated(run: MadeUpRun) -> int:
    """The largest sum of all real tensors during the second whole update."""
    config, rows = run.config, run.config.global_batch_size
    with estimate_module._Meter() as meter:
        model = make_model(config, run.metadata, run.machine.precision.value)
        if config.activation_checkpointing:
            model.recompute_activations()
        state = make_state(config, model, run.machine)
        batch, draws = model.blank_batch(rows, "cpu"), torch.rand(rows, int(model.draws_per_row))
        settings = StepSettings(rows, config.grad_clip, config.micro_batch_size)
        update(state, batch, draws, run.plan.values_at(1), settings)
        before: int = meter._live

        def again() -> None:
            update(state, batch, draws, run.plan.values_at(1), settings)

        peak: int = meter.peak_of(again)
        return before + peak


CASES = [
    ("trm attention", ("float32", *SMALL)),
    ("trm attention", ("bfloat16", *SMALL, "optimizer=adamw")),
    ("trm mlp_t", ("bfloat16", *SMALL, "micro_batch_size=3")),
    ("hrm", ("float32", *SMALL, "activation_checkpointing=true", "arch.H_layers=2", "arch.L_layers=2")),
    ("hesc mini", ("float32", *MINI)),
]


@pytest.mark.parametrize(("name", "words"), slow_but(CASES, *CASES[1:4]))
def test_the_estimate_is_near_to_what_an_update_allocates(
    name: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(name, 8, *words)
    allocated = really_allocated(run)
    for computed in (1 << 20, 0):  # really, and on the meta device
        monkeypatch.setattr(estimate_module, "_COMPUTED", computed)
        before = torch.get_rng_state()
        estimate = run.estimate()
        assert torch.equal(torch.get_rng_state(), before), "a run would begin with other weights"
        assert estimate.total == pytest.approx(allocated, rel=0.2), computed
        assert estimate.weights > 0.9 * estimate.gradients == 0.9 * estimate.average == 0.45 * estimate.moments


def test_slices_and_recomputed_activations_need_less() -> None:
    plain, sliced, recomputed = (
        run_of("trm attention", 16, "float32", *SMALL, *more).estimate().activations
        for more in ((), ("micro_batch_size=4",), ("activation_checkpointing=true",))
    )
    assert sliced < 0.4 * plain
    assert recomputed < 0.5 * plain


def test_an_evaluation_counts_where_it_needs_more_than_an_update() -> None:
    model = measured(run_of("trm attention", 2, "float32", *SMALL))
    none, small, large = (model.estimate(2, evaluated=rows).evaluation for rows in (0, 2, 1000))
    assert (none, small) == (0, 0)
    assert large == pytest.approx(model.evaluation.at(1000), rel=0.1)


def test_shards_divide_what_is_kept() -> None:
    model = measured(run_of("trm attention", 8, "float32", *SMALL))
    whole, shard = model.estimate(8), model.estimate(8, shards=4)
    assert (shard.moments, shard.average) == (whole.moments // 4, whole.average // 4)
    for name in ("weights", "gradients"):  # gathered for the length of an update, beside the shard that is kept
        assert getattr(shard, name) - getattr(whole, name) == whole.gradients // 4


@pytest.mark.parametrize("wanted", [0, 1, 5, 9, 10])
def test_the_most_rows_are_found(wanted: int) -> None:
    assert most_rows(lambda rows: rows <= wanted, 9) == min(wanted, 9)


def test_a_measured_peak_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    import subprocess
    import sys

    line = [sys.executable, "-c", "from benchmarks.speed.memory import peak; print(peak())"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100 < peak(), "this process has loaded torch, the other one has not"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trm attention", "hesc mini"])
def test_a_run_that_fits_comfortably_occupies_less_than_is_free(name: str) -> None:
    words = (name, "8", "float32", "arch.H_cycles=1")
    guess, truth = in_a_process("estimate", *words)["estimate"], in_a_process("measure", *words)["measured"]
    assert _COMFORTABLE_ON_CPU < guess / truth < 1


def test_windows_of_text_that_have_as_many_places_as_a_board_are_measured_as_text() -> None:
    config = compose(None, ["arch=multimodal_hesc_mini", *MINI]).config
    shape = StreamShape(0, 64)
    metadata = replace(made_up_metadata(64, shape.vocab_size, 10), kind="stream", extra=shape.to_extra([]))
    model = make_model(config, metadata, "float32")
    assert set(blank_batch(model, config, metadata, 2, "cpu")) == {"kind", "target", "text", "puzzle_identifiers"}
    text, board = (measured_of(config, data) for data in (metadata, replace(metadata, kind="sudoku")))
    assert text.update.per_row != board.update.per_row


def measured_of(config: RunConfig, metadata: DatasetMetadata) -> MemoryModel:
    return measure_memory(config, metadata, precision="float32", device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("pair_side", [0, 30])
def test_32_rows_of_the_full_size_fit_a_t4(pair_side: int) -> None:
    """Every row a board of 30x30 cells, with three demonstrations of that size that are all read at once."""
    config = compose(None, ["arch=multimodal_hesc", "arch.H_cycles=1"]).config
    shape = StreamShape(30, 512, (3, 32), tuple(map(str, range(46))), 3)
    with torch.device("meta"), fused_attention(), estimate_module._Meter() as meter:
        model = make_model(config, made_up_metadata(900, shape.vocab_size, 10), "float16")
        for parameter in model.trunk_parameters():
            parameter.grad = torch.zeros_like(parameter)
        rows = blank_rows(shape, GRID, 32, pair_side=pair_side).items()
        batch = {name: torch.as_tensor(value).to("meta") for name, value in rows}
        activations = meter.peak_of(partial(estimate_module._update, model, batch))
        carry = sum(value.nbytes for value in model.initial_carry(batch).z.values())
    trunk = sum(parameter.nbytes for parameter in model.trunk_parameters())
    # Weights, gradients, two moments, the average; the carry that comes out beside the one that goes in, which was met.
    total = 5 * trunk + sum(buffer.nbytes for buffer in model.buffers()) + carry + activations
    assert total < 13e9
