"""float16 on a processor: recipes with a puzzle table train, in a small size, for 300 updates.

One of each kind; TRM_ALL_RECIPES=1 in the environment takes every recipe with a table, in half an hour.
"""

from __future__ import annotations

import os

import pytest
import torch

from benchmarks.inputs.made_up import made_up_metadata
from tests.support import capsules
from tests.support.networks import make_batch
from trm_cli.config import registry
from trm_cli.config.compose import compose
from trm_cli.config.make_plan import make_plan
from trm_cli.config.schema import RunConfig
from trm_cli.schedule.plan import DatasetCounts
from trm_cli.training.averages import drain
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.run.build import make_model, make_state
from trm_cli.training.state.loss_scale import LossScale
from trm_cli.training.step import StepSettings, update

ROWS, UPDATES = 6, 300
RUN = (f"global_batch_size={ROWS}", "precision=float16", "device=cpu", "threads=1", "epochs=300")
TOKENS = ("hidden_size=32", "num_heads=2", "puzzle_emb_ndim=32", "H_cycles=2", "L_cycles=2", "halt_max_steps=4")
STREAM = tuple(f"{name}={value}" for name, value in capsules.TINY.items())


def small(name: str) -> RunConfig:
    """The recipe with a small network."""
    side = compose(name, []).config.board_side
    sizes = TOKENS if side is None else STREAM
    words = [f"arch.{word}" for word in sizes]
    return compose(name, [*RUN, *words, "checkpoint_path=nowhere", "data_paths=[nowhere]"]).config


#: Attention with AdamW, MLP-T, ARC, capsules.
KINDS = ("maze-hard-paper", "sudoku-extreme", "arc-1", "vision-unified")
WITH_TABLE = [name for name in registry.names("models") if compose(name, []).config.arch.puzzle_emb_ndim]
RECIPES = WITH_TABLE if os.environ.get("TRM_ALL_RECIPES") else KINDS


def test_every_kind_has_a_table() -> None:
    assert set(KINDS) <= set(WITH_TABLE)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_with_a_puzzle_table_trains_in_float16(name: str) -> None:
    config = small(name)
    stream = config.board_side is not None
    batch = capsules.make_batch(ROWS) if stream else make_batch(0, ROWS)
    length = batch["target" if stream else "inputs"].shape[1]
    metadata = made_up_metadata(length, capsules.VOCABULARY if stream else 11, ROWS, identifiers=5)
    machine = Machine.choose(config, length)
    state = make_state(config, make_model(config, metadata, "float16"), machine)
    plan = make_plan(config, DatasetCounts(ROWS, 1.0, "made up"))
    assert state.table is not None and state.scaler is not None
    state.scaler = LossScale("cpu", init_scale=2.0**28)  # the first updates overflow, whatever the sizes
    settings = StepSettings(ROWS, config.grad_clip, config.micro_batch_size)
    losses: list[float] = []
    for step in range(1, UPDATES + 1):
        draws = torch.rand(ROWS, state.model.draws_per_row, generator=torch.Generator().manual_seed(step))
        skipped = update(state, batch, draws, plan.values_at(step), settings)
        assert skipped is None or not skipped.fault, skipped.reason
        if step % 50 == 0:
            losses.append(drain(state, ROWS).means["loss"] or 0.0)
    assert 1 <= state.skipped <= 28 and state.skipped_in_a_row == 0, "the scale settles"
    assert losses[-1] < losses[0]
    assert all(value.isfinite().all() for value in state.model.state_dict().values())
    assert state.table.abs().max() > 0
