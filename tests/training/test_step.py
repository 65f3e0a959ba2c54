"""Sums become means: losses over all rows of the updates, accuracies over the rows that halted."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from tests.support import capsules as making
from tests.training.test_update import state_of
from trm_cli.models.hesc.model import MultimodalHesc
from trm_cli.models.hesc.passes import NetworkInputs, NetworkPass
from trm_cli.models.hesc.rows.kinds import EOS, START, Kind
from trm_cli.models.hesc.rows.layout import Layout
from trm_cli.models.supervision.carry import Carry
from trm_cli.training.averages import drain
from trm_cli.training.state.sums import RunningSums
from trm_cli.training.step import StepSettings, update


def sums(**values: float) -> SimpleNamespace:
    tensors = {name.replace("__", "/"): torch.tensor(value) for name, value in values.items()}
    return SimpleNamespace(sums=RunningSums(tensors), step=7)


def test_each_sum_is_divided_by_what_it_was_summed_over() -> None:
    state = sums(
        updates=4.0,
        scored=4.0,
        applied=4.0,
        loss__loss=64.0,
        loss__lm_loss=48.0,
        halted__count=5.0,
        halted__exact_accuracy=2.0,
    )
    averaged = drain(state, 8)  # type: ignore[arg-type]
    assert averaged.updates == 4
    assert averaged.means == {"halted": 1.25, "loss": 2.0, "lm_loss": 1.5, "exact_accuracy": 0.4, "skipped": 0}
    assert state.sums == {}


def test_each_group_of_rows_is_divided_by_its_own_number() -> None:
    # Defect 31: three grids of four right are .75 of the grids, whatever else the batch holds.
    groups = {"halted__count": 16.0, "grid_rows__count": 4.0, "grid_rows__exact_accuracy": 3.0}
    texts = {"text_rows__count": 12.0, "text_rows__text_bits": 24.0}
    averaged = drain(sums(updates=2.0, scored=2.0, loss__loss=0.0, **groups, **texts), 8)  # type: ignore[arg-type]
    assert averaged.means == {
        "halted": 8.0, "grid_rows": 2.0, "text_rows": 6.0, "exact_accuracy": 0.75, "text_bits": 2.0,
        "loss": 0.0, "skipped": 2,
    }  # fmt: skip


def test_without_a_halted_row_there_is_no_accuracy() -> None:
    averaged = drain(sums(updates=1.0, scored=1.0, loss__loss=1.0, halted__count=0.0, halted__accuracy=0.0), 1)  # type: ignore[arg-type]
    assert averaged.means["accuracy"] is None


def test_updates_that_changed_no_weight_are_counted_and_left_out_of_the_means() -> None:
    state = sums(
        updates=5.0,
        scored=4.0,
        applied=2.0,
        loss__loss=64.0,
        applied__grad_norm=3.0,
        halted__count=2.0,
        halted__steps=6.0,
    )
    averaged = drain(state, 8)  # type: ignore[arg-type]
    assert averaged.updates == 5
    assert averaged.means == {"halted": 0.5, "loss": 2.0, "skipped": 3, "grad_norm": 1.5, "steps": 3.0}


def test_without_a_finite_loss_there_is_no_mean() -> None:
    averaged = drain(sums(updates=2.0), 8)  # type: ignore[arg-type]
    assert averaged.means == {"halted": None, "loss": None, "skipped": 2}


class Metered(MultimodalHesc):
    """Says what is asked of grids, and of texts every byte alike."""

    def _think(self, carry: Carry, inputs: NetworkInputs, draws: Tensor | None, layout: Layout | None) -> NetworkPass:
        thought, target = super()._think(carry, inputs, draws, layout), carry.data["target"]
        parts = []
        for part in thought.parts:
            sure = nn.functional.one_hot(part.labels(target).clamp_min(0), part.scores.shape[-1]) * 100.0
            parts.append(part._replace(scores=sure if part.kind == Kind.GRID else torch.zeros_like(part.scores)))
        return replace(thought, parts=tuple(parts))


def test_grids_and_texts_are_measured_apart() -> None:
    # Defect 31: half of these rows are texts, and no accuracy of the grids could exceed one half in the log.
    model = making.build(Metered)
    state, settings = state_of(model), StepSettings(6, None, micro_batch_size=4)
    for number in range(2 * model.halt_max_steps):
        batch, draws = making.make_batch(seed=number), making.make_draws(model, 6, number)
        assert update(state, batch, draws, making.Values(), settings) is None
    means = drain(state, 6).means
    grids, texts, halted, steps = (means[name] or 0 for name in ("grid_rows", "text_rows", "halted", "steps"))
    pictures = means["picture_rows"]
    assert grids > 0 and texts > 0 and grids + texts + pictures == pytest.approx(halted)
    assert means["accuracy"] == means["exact_accuracy"] == 1.0
    assert (means["text_bits"], means["text_accuracy"]) == (pytest.approx(math.log2(START - EOS), rel=1e-5), 0.0)
    assert 1 <= steps <= model.halt_max_steps
