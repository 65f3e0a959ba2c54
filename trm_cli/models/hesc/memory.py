"""Episodic memory: store the states of solved rows and read the nearest ones.

Storage is state, not parameters; only the query, the output map and the gate learn. Reading picks the top k first and
touches only those rows afterwards: no tensor of batch times capacity times width exists.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trm_cli.models.hesc.blocks import Linear
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.layers.norm import rms_norm

_SHARPNESS = 10.0
"""Cosines are multiplied by this before their softmax; unit keys alone would give nearly equal weights."""
_AGEING = 0.999


class EpisodicMemory(nn.Module):
    """`memory_capacity` places; a place with priority 0 is empty."""

    keys: Tensor
    contents: Tensor
    priorities: Tensor

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        width, dim, capacity = config.hidden_size, config.memory_key_dim, config.memory_capacity
        self.top_k = min(config.memory_top_k, capacity)
        self.query = Linear(width, dim)
        self.out = Linear(width, width)
        self.gate = nn.Parameter(torch.full((1,), -1.0))
        self.register_buffer("keys", torch.zeros(capacity, dim))
        self.register_buffer("contents", torch.zeros(capacity, width))
        self.register_buffer("priorities", torch.zeros(capacity))

    def filled(self) -> Tensor:
        """The share of places that hold something, 0-dim."""
        return (self.priorities > 0).float().mean()

    def read(self, cue: Tensor) -> tuple[Tensor, Tensor]:
        """Cue [B, D] -> (what is remembered [B, D], query float32 [B, key]). An empty memory gives zero."""
        query = functional.normalize(self.query(cue).float(), dim=-1, eps=1e-6)
        with torch.no_grad():
            scores = (query @ self.keys.T).masked_fill(self.priorities <= 0, -torch.inf)
            found, places = scores.topk(self.top_k, dim=-1)
            full = found > -torch.inf
        keys, contents = self.keys[places], self.contents[places]
        nearness = _SHARPNESS * torch.einsum("bd,bkd->bk", query, keys)
        # The extra zero is "nothing comes to mind": an empty memory has all its weight there.
        padded = functional.pad(nearness.masked_fill(~full, -torch.inf), (0, 1))
        weights = padded.softmax(-1)[:, :-1]
        gathered = torch.einsum("bk,bkd->bd", weights, contents)
        return self.gate.float().sigmoid().to(cue.dtype) * self.out(gathered.to(cue.dtype)), query

    @torch.no_grad()
    def write(self, query: Tensor, state: Tensor, worth: Tensor) -> None:
        """Store rows with worth [B] > 0 over the places of the lowest priority. query [B, key], state [B, D].

        Priorities age at each call, so what was stored long ago gives way. A batch larger than the memory keeps its
        first rows.
        """
        self.priorities.mul_(_AGEING)
        count = min(worth.shape[0], self.priorities.shape[0])
        places = self.priorities.topk(count, largest=False).indices
        sound = query[:count].isfinite().all(1) & state[:count].isfinite().all(1)
        solved, wins = worth[:count], (worth[:count] > 0) & sound
        self.keys[places] = torch.where(wins[:, None], query[:count].float(), self.keys[places])
        content = rms_norm(state[:count].float())
        self.contents[places] = torch.where(wins[:, None], content, self.contents[places])
        self.priorities[places] = torch.where(wins, solved, self.priorities[places])
