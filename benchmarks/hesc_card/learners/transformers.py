"""Plain transformers of four blocks: on cells, and causal on bytes; and how either learns."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.hesc_card.learners.loop import Rows
from benchmarks.hesc_card.learners.scoring import Answers
from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, FIRST_COLOUR, START
from trm_cli.models.layers.rotary import rope_tables, rotate
from trm_cli.training.optimizers.eager import AdamW

_BLOCKS, _WIDTH, _HEADS = 4, 128, 4
_EMA, _DECAY, _CLIP = 0.99, 0.1, 1.0


class _Block(nn.Module):
    """Pre-norm: attention, then a gated MLP, each added."""

    def __init__(self, hidden: int, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.before, self.between = nn.RMSNorm(_WIDTH), nn.RMSNorm(_WIDTH)
        self.query_key_value = nn.Linear(_WIDTH, 3 * _WIDTH, bias=False)
        self.merge = nn.Linear(_WIDTH, _WIDTH, bias=False)
        self.gate_up, self.down = nn.Linear(_WIDTH, 2 * hidden, bias=False), nn.Linear(hidden, _WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        heads = self.query_key_value(self.before(x)).unflatten(-1, (3, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads
        if self.causal:
            rope = rope_tables(x.shape[1], _WIDTH // _HEADS, 10_000.0)
            query, key = rotate(query, *rope), rotate(key, *rope)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        x = x + self.merge(mixed.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(self.between(x)).chunk(2, -1)
        out: Tensor = x + self.down(functional.silu(gate) * up)
        return out


class CellTransformer(nn.Module):
    """Cells as tokens with a table for rows, one for columns and one for tasks."""

    first_word = 0

    def __init__(self, tasks: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.symbols, self.tasks = nn.Embedding(11, _WIDTH), nn.Embedding(tasks, _WIDTH)
        self.rows, self.columns = nn.Embedding(side, _WIDTH), nn.Embedding(side, _WIDTH)
        self.blocks = nn.Sequential(*(_Block(512, causal=False) for _ in range(_BLOCKS)), nn.RMSNorm(_WIDTH))
        self.out = nn.Linear(_WIDTH, FIRST_BYTE, bias=False)

    def forward(self, batch: Rows) -> Tensor:
        """Scores of padding, end and colours: [B, side * side, 12]; what lies outside of all grids is not computed."""
        cells, asked = batch["cells"].long(), batch["target"][:, : self.side**2] != IGNORED_LABEL
        used = ((cells > 0) | asked).any(0).view(self.side, self.side)
        size = int(torch.nonzero(used.any(0) | used.any(1)).max()) + 1
        boards = cells.view(-1, self.side, self.side)[:, :size, :size]
        x = self.symbols(boards) + self.rows.weight[:size, None] + self.columns.weight[None, :size]
        x = x + self.tasks(batch["puzzle_identifiers"].long())[:, None, None]
        scores = self.out(self.blocks(x.flatten(1, 2))).unflatten(1, (size, size))
        missing = self.side - size
        return functional.pad(scores, (0, 0, 0, missing, 0, missing)).flatten(1, 2)


class ByteTransformer(nn.Module):
    """Bytes as a causal stream with rotary positions; the output map is the table."""

    first_word = EOS

    def __init__(self) -> None:
        super().__init__()
        self.symbols = nn.Embedding(START + 1, _WIDTH)
        nn.init.normal_(self.symbols.weight, std=_WIDTH**-0.5)
        self.blocks = nn.Sequential(*(_Block(320, causal=True) for _ in range(_BLOCKS)), nn.RMSNorm(_WIDTH))

    def forward(self, batch: Rows) -> Tensor:
        """Scores of end and bytes (what lies between is never said): [B, T, START - 1]."""
        x = self.symbols(batch["text"].long()) * math.sqrt(_WIDTH)
        scores: Tensor = self.blocks(x) @ self.symbols.weight[EOS:START].T
        scores[..., FIRST_COLOUR - EOS : FIRST_BYTE - EOS] = -1e4
        return scores


class PlainLearner:
    """AdamW, clipped gradients and an average of the weights."""

    def __init__(self, network: CellTransformer | ByteTransformer) -> None:
        self.network = network
        self._optimizer = AdamW(network.parameters(), lr=0.0, betas=(0.9, 0.95), weight_decay=_DECAY, fused=True)
        self._average = {name: value.detach().clone() for name, value in network.named_parameters()}

    @property
    def parameters(self) -> int:
        """All of them."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def _labels(self, batch: Rows, places: int) -> Tensor:
        labels = batch["target"][:, :places].long()
        return torch.where(labels == IGNORED_LABEL, labels, labels - self.network.first_word)

    def update(self, batch: Rows, step: int, rate: float) -> None:
        """Mean loss of a row's places, then mean over rows."""
        del step
        scores = self.network(batch)
        labels = self._labels(batch, scores.shape[1])
        nats = functional.cross_entropy(scores.mT, labels, ignore_index=IGNORED_LABEL, reduction="none")
        loss = (nats.sum(1) / (labels != IGNORED_LABEL).sum(1).clamp_min(1)).mean()
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step_where(None)
        with torch.no_grad():
            parameters = [value.data for value in self.network.parameters()]
            torch._foreach_lerp_(list(self._average.values()), parameters, 1 - _EMA)

    @torch.inference_mode()
    def answer(self, batch: Rows) -> Answers:
        """With the averaged weights."""
        scores = torch.func.functional_call(self.network, self._average, (batch,))
        labels = self._labels(batch, scores.shape[1])
        nats = functional.cross_entropy(scores.mT, labels, ignore_index=IGNORED_LABEL, reduction="none")
        width = batch["target"].shape[1] - scores.shape[1]
        tokens = functional.pad(scores.argmax(-1) + self.network.first_word, (0, width))
        return Answers(tokens.numpy(), functional.pad(nats, (0, width)).numpy())

    def state_dict(self) -> dict[str, Any]:
        """Weights, moments, average."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": self._average,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        for name, value in state["average"].items():
            self._average[name].copy_(value)
