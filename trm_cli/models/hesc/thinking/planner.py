"""Plan in latent space: several paths of continuous thoughts beside the workspace (in the spirit of COCONUT).

Each path starts from the mean of the workspace, thinks `depth` times by taking its last hidden state as its next
input, and is scored by how likely the answer is right when that path is followed. Thoughts look at the workspace and
at earlier thoughts of their own path. The last thoughts are slots that workspace and tokens look at, each as large as
its share: nothing stands between them and the answer that could shut.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from trm_cli.models.all_ranks import AllRanks
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.thinking.blocks import Attention, Linear, SwiGLU
from trm_cli.models.layers.initialization import embedding_parameter, linear_parameter
from trm_cli.models.layers.norm import rms_norm


class Plan(NamedTuple):
    """values [B, P]: logit that each path ends right; shares [B, P]: softmax of the values; weights [B, P]: what was
    followed (a single path in solo rows); thoughts [B, P, depth, D]; slots [B, P, D]: what others see. All but the
    thoughts and slots are float32."""

    values: Tensor
    shares: Tensor
    weights: Tensor
    thoughts: Tensor
    slots: Tensor


class ThoughtBlock(nn.Module):
    """Pre-norm block for single thoughts: attention to context and own past, then SwiGLU."""

    def __init__(self, hidden_size: int, num_heads: int, expansion: float) -> None:
        super().__init__()
        self.attention = Attention(hidden_size, num_heads)
        self.mlp = SwiGLU(hidden_size, expansion)

    def forward(
        self, h: Tensor, context: tuple[Tensor, Tensor], visible: Tensor, past: list[tuple[Tensor, Tensor]]
    ) -> Tensor:
        """H [B, P, D]; context keys and values [B, H, S, hd]; visible bool [B, 1, 1, S]; past grows by this thought's
        own keys and values [B, H, P, hd] -> [B, P, D]."""
        normed = rms_norm(h)
        q = self.attention.queries(normed) * self.attention.head_dim**-0.5
        past.append(self.attention.keys_values(normed))
        outer = (q @ context[0].mT).masked_fill(~visible, -math.inf)
        own = torch.stack([(q * k).sum(-1) for k, _ in past], -1)
        weights = torch.cat((outer, own), -1).float().softmax(-1).to(q.dtype)
        size = outer.shape[-1]
        mixed = weights[..., :size] @ context[1]
        for index, (_, v) in enumerate(past):
            mixed = mixed + weights[..., size + index, None] * v
        h = h + self.attention.merge(mixed)
        thought: Tensor = h + self.mlp(rms_norm(h))
        return thought


class LatentPlanner(nn.Module):
    """Workspace -> plan."""

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        width, paths = config.hidden_size, config.latent_planning_paths
        self.paths, self.depth = paths, config.latent_planning_depth
        self.solo_ratio = config.latent_planning_solo_ratio
        self.starts = embedding_parameter(paths, width)
        self.path_in = nn.Parameter(torch.stack([linear_parameter(width, width).data for _ in range(paths)]))
        self.path_out = nn.Parameter(torch.stack([linear_parameter(width, width).data for _ in range(paths)]))
        self.blocks = nn.ModuleList(
            ThoughtBlock(width, config.num_heads, config.expansion) for _ in range(config.latent_planning_layers)
        )
        self.value = nn.Sequential(Linear(width, width // 8, bias=0.0), nn.GELU(), Linear(width // 8, 1, bias=0.0))
        self.out = Linear(width, width)

    def think(self, workspace: Tensor, visible: Tensor) -> Tensor:
        """Workspace [B, S, D], visible bool [B, 1, 1, S] -> thoughts [B, P, depth, D] of unit size."""
        context = rms_norm(workspace)
        seen = visible[:, 0, 0, :, None].to(context.dtype)
        pooled = (context * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp_min(1)
        hidden = torch.einsum("bd,ped->bpe", pooled[:, 0], self.path_in)
        offset = torch.einsum("bpe,pde->bpd", torch.nn.functional.gelu(hidden), self.path_out)
        thought = rms_norm(pooled + rms_norm(self.starts) + offset)
        blocks = [cast(ThoughtBlock, block) for block in self.blocks]
        outside = [block.attention.keys_values(context) for block in blocks]
        past: list[list[tuple[Tensor, Tensor]]] = [[] for _ in blocks]
        thoughts = []
        for _ in range(self.depth):
            for block, around, own in zip(blocks, outside, past, strict=True):
                thought = block(thought, around, visible, own)
            # The normed state is both this thought and the input of the next one.
            thought = rms_norm(thought)
            thoughts.append(thought)
        return torch.stack(thoughts, 2)

    def followed(self, shares: Tensor, draw: Tensor | None) -> Tensor:
        """Weights [B, P]: the shares, or one path alone in the rows whose draw [B] in 0..1 falls under `solo_ratio`.

        A row that follows one path tells whether that path was right, at no cost; it is where values come from.
        """
        if draw is None:
            return shares
        path = (draw / max(self.solo_ratio, 1e-9) * self.paths).long().clamp(max=self.paths - 1)
        alone = (path[:, None] == torch.arange(self.paths, device=path.device)).to(shares.dtype)
        return torch.where((draw < self.solo_ratio)[:, None], alone, shares)

    def forward(self, workspace: Tensor, visible: Tensor, draw: Tensor | None) -> Plan:
        """Workspace [B, S, D], visible bool [B, 1, 1, S], draw [B] or None -> the plan."""
        thoughts = self.think(workspace, visible)
        last = thoughts[:, :, -1]
        values = self.value(last)[..., 0].float()
        shares = values.softmax(-1)
        weights = self.followed(shares, draw)
        slots = rms_norm(self.out(last)) * (self.paths * weights)[..., None].to(last.dtype)
        return Plan(values, shares, weights, thoughts, slots)


def balance(shares: Tensor, all_ranks: AllRanks) -> Tensor:
    """KL of the batch's mean share of each path from the uniform distribution: [B, P] -> 0-dim.

    0 when paths are used equally. The mean is that of the rows of all processes; gradients reach one's own rows, as
    large as if they were all.
    """
    own = shares.mean(0)
    (means,) = all_ranks.gather((own.detach()[None],))
    mean = own + (means.mean(0) - own.detach())
    return (mean * (mean * mean.shape[0]).clamp_min(1e-9).log()).sum()


def likeness(thoughts: Tensor) -> Tensor:
    """Mean squared cosine between the last thoughts of different paths: [B, P, depth, D] -> [B]."""
    unit = torch.nn.functional.normalize(thoughts[:, :, -1].float(), dim=-1, eps=1e-6)
    paths = unit.shape[1]
    squares = (unit @ unit.mT).square().sum((1, 2)) - paths
    return squares / max(1, paths * (paths - 1))
