"""Operations of depthwise convolutions, forward and backward."""

from __future__ import annotations

import torch
from torch.nn import functional

from trm_cli.models.measuring import operation_counter


def test_the_gradients_of_a_depthwise_convolution_cost_twice_its_forward_pass() -> None:
    h, weight = (torch.zeros(size, device="meta", requires_grad=True) for size in ((2, 6, 5, 5), (6, 1, 3, 3)))
    with operation_counter() as counter:
        found = functional.conv2d(h, weight, padding=1, groups=6)
        forward = counter.get_total_flops()
        found.sum().backward()
    assert forward == 2 * (2 * 6 * 25) * 9
    assert counter.get_total_flops() == 3 * forward
