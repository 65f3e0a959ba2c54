"""Operations of depthwise convolutions, forward and backward."""

from __future__ import annotations

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from trm_cli.models.measuring import _convolution_backward


def test_the_gradients_of_a_depthwise_convolution_cost_twice_its_forward_pass() -> None:
    h, weight = (torch.zeros(size, device="meta", requires_grad=True) for size in ((2, 6, 5, 5), (6, 1, 3, 3)))
    counted = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=counted) as counter:
        found = functional.conv2d(h, weight, padding=1, groups=6)
        forward = counter.get_total_flops()
        found.sum().backward()
    assert forward == 2 * (2 * 6 * 25) * 9
    assert counter.get_total_flops() == 3 * forward
