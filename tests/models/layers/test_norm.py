"""The RMS norm."""

from __future__ import annotations

import torch

from trm_cli.models.layers.norm import rms_norm


def test_norm_divides_by_the_root_of_the_mean_square() -> None:
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    for dim in (-1, -2):
        torch.testing.assert_close(rms_norm(x, dim), x / (x.square().mean(dim, keepdim=True) + 1e-5).sqrt())


def test_norm_is_computed_in_float32_for_half_precision() -> None:
    x = torch.full((1, 1024), 300.0, dtype=torch.float16)  # the sum of squares overflows float16
    torch.testing.assert_close(rms_norm(x), torch.ones_like(x))
