"""Master weights are float32; a step in half precision makes one copy of each, for all of its recursive calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support.networks import CASES, make_batch
from trm_cli.schedule.clock import SETTLED


class _Copies(TorchDispatchMode):
    """Counts the copies in another type, by where the original lies."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket is torch.ops.aten._to_copy:
            self.made[args[0].data_ptr()] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", CASES)
def test_each_weight_is_cast_once_a_step(name: str) -> None:
    model, batch = CASES[name].model("bfloat16"), make_batch(0, rows=4)
    with _Copies() as copies:
        model(model.initial_carry(batch), batch, SETTLED, torch.rand(4, 2))
    names = {parameter.data_ptr(): name for name, parameter in model.named_parameters()}
    made = {names[place]: count for place, count in copies.made.items() if place in names}
    assert set(made.values()) == {1}, made
    assert {"lm_head", *(name for name in names.values() if ".layers." in name)} <= made.keys()
