"""Carrying states from step to step, and refilling the rows that halted."""

from __future__ import annotations

import io

import pytest
import torch

from tests.support.networks import CASES, make_batch
from trm_cli.models.supervision.carry import Carry, empty_carry, refresh
from trm_cli.schedule.clock import SETTLED

torch.set_num_threads(1)


def test_halted_rows_are_replaced_and_the_others_kept() -> None:
    old, new = make_batch(1, 4), make_batch(2, 4)
    halted = torch.tensor([True, False, True, False])
    z = torch.randn(4, 3, 2)
    carry = Carry({"z_H": z}, torch.tensor([4, 2, 1, 3], dtype=torch.int32), halted, old)
    fresh = refresh(carry, new, {"z_H": torch.tensor([5.0, 6.0])})
    assert fresh.steps.tolist() == [0, 2, 0, 3]
    for i in range(4):
        source = new if halted[i] else old
        assert all(torch.equal(fresh.data[name][i], source[name][i]) for name in old)
        expected = torch.tensor([5.0, 6.0]).expand(3, 2) if halted[i] else z[i]
        assert torch.equal(fresh.z["z_H"][i], expected)


def test_refilling_does_not_spread_from_what_a_halted_row_held() -> None:
    """Zeros times NaN is NaN; a selection is not."""
    carry = Carry(
        {"z_H": torch.full((1, 2, 2), float("nan"))},
        torch.ones(1, dtype=torch.int32),
        torch.tensor([True]),
        make_batch(0, 1),
    )
    assert refresh(carry, make_batch(1, 1), {"z_H": torch.zeros(2)}).z["z_H"].isfinite().all()


@pytest.mark.parametrize("change", ["field", "rows"])
def test_batch_of_another_kind_is_refused(change: str) -> None:
    carry = empty_carry(make_batch(0, 3), {"z_H": torch.zeros(3, 2, 2)})
    batch = make_batch(0, 4) if change == "rows" else {**make_batch(0, 3), "valid": torch.ones(3, dtype=torch.bool)}
    with pytest.raises(ValueError, match="initial_carry"):
        refresh(carry, batch, {"z_H": torch.zeros(2)})


def test_carry_goes_through_a_plain_file_and_goes_on_to_the_bit() -> None:
    model = CASES["attention"].model()
    carry = model.initial_carry(make_batch(0))
    with torch.no_grad():
        for step in range(3):
            carry, _ = model.advance(carry, make_batch(step), SETTLED, torch.rand(5, 2))
        file = io.BytesIO()
        torch.save(carry.state_dict(), file)
        file.seek(0)
        loaded = Carry(**torch.load(file, weights_only=True))
        draws = torch.rand(5, 2)
        first, _ = model.advance(carry, make_batch(9), SETTLED, draws)
        second, _ = model.advance(loaded.to("cpu", torch.float32), make_batch(9), SETTLED, draws)
    for name in first.z:
        assert torch.equal(first.z[name], second.z[name])
    assert torch.equal(first.halted, second.halted)
    assert torch.equal(first.steps, second.steps)
