"""Small models, batches and values for the tests of multimodal_hesc."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.model import MultimodalHesc
from trm_cli.models.hesc.vocabulary import FIRST_BYTE, FIRST_COLOUR, IGNORED
from trm_cli.schedule.clock import Clock

VOCABULARY = 272
TINY: dict[str, Any] = {
    "hidden_size": 32, "num_heads": 2, "expansion": 1.0, "canvas_size": 28, "encoder_layers": 1, "encoder_cycles": 1,
    "num_registers": 2, "capsule_rows": 2, "capsule_columns": 2, "children_per_capsule": 2, "checksum_dim": 8,
    "H_cycles": 2, "L_cycles": 1, "L_layers": 1, "halt_max_steps": 3, "puzzle_emb_ndim": 32,
    "latent_planning_paths": 3, "latent_planning_layers": 1, "vq_codes": 16, "vq_dim": 8, "memory_capacity": 16,
    "memory_key_dim": 8, "memory_top_k": 4, "q_hidden_dim": 16, "replay_capacity": 256, "replay_min_size": 8,
}  # fmt: skip


def Values(**changes: float) -> Clock[float]:
    """The clock of one step, in the middle of a training."""
    return Clock(**({"expansion_penalty": 0.1, "epsilon": 0.3} | changes))


def make(seed: int = 0, **changes: Any) -> MultimodalHesc:
    torch.manual_seed(seed)
    return build(**changes)


def build(
    kind: type[MultimodalHesc] = MultimodalHesc, *, seq_len: int = 16, forward_dtype: str = "float32", **changes: Any
) -> MultimodalHesc:
    """A network as the generator stands. Raises ValueError for settings that contradict each other."""
    config = HescConfig(**(TINY | changes))
    for name, sentence in config.conflicts():
        raise ValueError(f"{name}: {sentence}")
    return kind(config, vocab_size=VOCABULARY, seq_len=seq_len, num_puzzle_identifiers=3, forward_dtype=forward_dtype)


def make_batch(rows: int = 6, seed: int = 0, length: int = 16) -> dict[str, Tensor]:
    """Grids in even rows, texts in odd ones; the last two positions of each row are not asked."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    kind = torch.arange(rows) % 2
    is_grid = (kind == 0)[:, None]
    target = torch.where(
        is_grid,
        draw(FIRST_COLOUR, FIRST_BYTE, rows, length),
        FIRST_BYTE + draw(97, 123, rows, length),
    )
    target[:, -2:] = IGNORED
    return {
        "canvas_kind": kind.to(torch.uint8),
        "canvas": torch.where(is_grid, draw(0, 11, rows, 16), draw(97, 123, rows, 16)).to(torch.uint8),
        "target": target.to(torch.int32),
        "target_kind": kind.to(torch.uint8),
        "puzzle_identifiers": draw(0, 3, rows).to(torch.int32),
    }


def make_draws(model: MultimodalHesc, rows: int, seed: int) -> Tensor:
    return torch.rand(rows, model.draws_per_row, generator=torch.Generator().manual_seed(seed))


class Run:
    """A training run of a few steps; step k uses the draws and the batch of k alone."""

    def __init__(self, model: MultimodalHesc, rows: int = 6, rate: float = 1e-3) -> None:
        self.model, self.rows = model, rows
        self.optimizer = torch.optim.AdamW(list(model.trunk_parameters()), lr=rate)
        self.carry = model.initial_carry(make_batch(rows))

    def step(self, k: int, values: Clock[float] = Values()) -> Any:
        draws = make_draws(self.model, self.rows, 1000 + k)
        result = self.model(self.carry, make_batch(self.rows, seed=k), values, draws)
        self.carry = result.carry
        self.optimizer.zero_grad()
        result.loss.backward()
        self.optimizer.step()
        return result
