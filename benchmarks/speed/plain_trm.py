"""TRM's update as the paper writes it, as a baseline: plain autograd expressions, weights cast where they are used.

The yardstick of `benchmarks.speed.step_time`. Same weights, shapes and arithmetic as trm_cli.models.networks.trm; no
hand-written gradient, no shared casts, no layout chosen for speed. Tokens are mixed by `mlp(x.transpose(1, 2))` as in
the paper's code. The losses are those of the program: they take a thousandth of the time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trm_cli.models.layers.block import AttentionBlock, TokenMLPBlock
from trm_cli.models.layers.stack import Stack
from trm_cli.models.network import Network
from trm_cli.models.networks.shared.token_network import TokenNetwork
from trm_cli.models.networks.trm import TrmConfig
from trm_cli.models.supervision import losses
from trm_cli.models.supervision.outputs import Outputs


def _norm(x: Tensor) -> Tensor:
    wide = x.to(torch.float32)
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


def _swiglu(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    gate, up = F.linear(x, gate_up.to(x.dtype)).chunk(2, dim=-1)
    return F.linear(F.silu(gate) * up, down.to(x.dtype))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x * torch.cat((cos, cos), -1) + turned * torch.cat((sin, sin), -1)).to(x.dtype)


def _attend(h: Tensor, block: AttentionBlock, model: TokenNetwork) -> Tensor:
    rows, length, width = h.shape
    heads = model.config.num_heads
    q, k, v = F.linear(h, block.qkv.to(h.dtype)).view(rows, length, 3, heads, width // heads).unbind(2)
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    if model.rope is not None:
        q, k = _rotate(q, *model.rope), _rotate(k, *model.rope)
    mixed = F.scaled_dot_product_attention(q, k, v)
    return F.linear(mixed.transpose(1, 2).reshape(rows, length, width), block.out.to(h.dtype))


def _network(h: Tensor, injection: Tensor, model: TokenNetwork) -> Tensor:
    h = h + injection
    stack = model.get_submodule("L_level")
    assert isinstance(stack, Stack)
    for block in stack.layers:
        if isinstance(block, TokenMLPBlock):
            tokens = h.transpose(1, 2)
            h = _norm(tokens + _swiglu(tokens, block.token_gate_up, block.token_down)).transpose(1, 2)
        else:
            assert isinstance(block, AttentionBlock)
            h = _norm(h + _attend(h, block, model))
        h = _norm(h + _swiglu(h, block.gate_up, block.down))
    return h


def _config(model: TokenNetwork) -> TrmConfig:
    assert isinstance(model.config, TrmConfig)
    return model.config


def _round(z_H: Tensor, z_L: Tensor, x: Tensor, model: TokenNetwork) -> tuple[Tensor, Tensor]:
    config = _config(model)
    for _ in range(config.L_cycles):
        z_L = _network(z_L, z_H + x, model)
    return _network(z_H, z_L, model), z_L


def plain_loss(model: Network, z_H: Tensor, z_L: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """(loss, new z_H, new z_L) of one supervision step from the states [B, L, D]."""
    assert isinstance(model, TokenNetwork)
    x, config = model.embed(batch), _config(model)
    with torch.no_grad():
        for _ in range(config.H_cycles - 1):
            z_H, z_L = _round(z_H, z_L, x, model)
    z_H, z_L = _round(z_H, z_L, x, model)
    logits = F.linear(z_H, model.lm_head.to(z_H.dtype))[:, model.config.puzzle_tokens :]
    q_halt, q_continue = model.q_head(z_H[:, 0])
    loss, _ = losses.step_losses(Outputs(logits, q_halt, q_continue), batch["labels"])
    return loss, z_H.detach(), z_L.detach()
