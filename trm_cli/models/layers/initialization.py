"""Initialise weights by the truncated normal distribution of the published networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


@torch.no_grad()
def truncated_normal_(tensor: Tensor, std: float) -> Tensor:
    """Fill from a normal distribution cut at two sigma whose realised standard deviation is `std`, as JAX does.

    u ~ U(erf(-2/sqrt2), erf(2/sqrt2)), x = sqrt2 * erfinv(u) * std / 0.8796, where 0.8796 is the deviation of the
    standard normal distribution cut at +-2. (`torch.nn.init.trunc_normal_` leaves that division out.) std 0 fills with
    zeros and draws nothing.
    """
    if std == 0:
        return tensor.zero_()
    if tensor.is_meta:  # there are no numbers to draw, and clamping them would load torch's compiler, for a second
        return tensor
    bound = 2.0
    edge = math.erf(bound / math.sqrt(2.0))
    density = math.exp(-0.5 * bound * bound) / math.sqrt(2.0 * math.pi)
    sigma = std / math.sqrt(1.0 - 2.0 * bound * density / edge)
    tensor.uniform_(-edge, edge).erfinv_().mul_(math.sqrt(2.0) * sigma)
    return tensor.clamp_(-bound * sigma, bound * sigma)


def linear_parameter(out_features: int, in_features: int) -> nn.Parameter:
    """A float32 weight [out, in] with standard deviation 1/sqrt(in)."""
    return nn.Parameter(truncated_normal_(torch.empty(out_features, in_features), in_features**-0.5))


def embedding_parameter(rows: int, width: int) -> nn.Parameter:
    """A float32 table [rows, width] with standard deviation 1/sqrt(width)."""
    return nn.Parameter(truncated_normal_(torch.empty(rows, width), width**-0.5))
