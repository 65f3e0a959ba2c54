"""Small models, batches and values for the tests of multimodal_hesc."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.model import MultimodalHesc
from trm_cli.models.hesc.rows.kinds import EOS, FIRST_BYTE, FIRST_COLOUR, FIRST_LABEL, PAD, START, Kind
from trm_cli.models.supervision.losses import IGNORED_LABEL
from trm_cli.schedule.clock import Clock

LABELS = 5
VOCABULARY = FIRST_LABEL + LABELS
SIDE, WINDOW = 5, 24
LENGTH = SIDE * SIDE
TINY: dict[str, Any] = {
    "hidden_size": 32, "token_size": 16, "num_heads": 2, "expansion": 1.0, "board_side": SIDE, "picture_size": 8,
    "patch_size": 2, "num_registers": 2, "capsule_rows": 2, "capsule_columns": 2, "child_rows": 1, "child_columns": 2,
    "checksum_dim": 8, "pair_slots": 3, "H_cycles": 2, "L_cycles": 1, "H_layers": 1, "L_layers": 1, "text_layers": 1,
    "halt_max_steps": 3, "text_steps": 2, "puzzle_emb_ndim": 32, "latent_planning_paths": 3,
    "latent_planning_layers": 1, "expand_together": 2, "q_hidden_dim": 16, "replay_capacity": 256, "replay_min_size": 4,
}  # fmt: skip
KINDS = (Kind.GRID, Kind.TEXT, Kind.PICTURE)


def Values(**changes: float) -> Clock[float]:
    """The clock of one step, in the middle of a training."""
    return Clock(**({"expansion_penalty": 0.1, "epsilon": 0.3} | changes))


def make(seed: int = 0, **changes: Any) -> MultimodalHesc:
    torch.manual_seed(seed)
    return build(**changes)


def build(
    kind: type[MultimodalHesc] = MultimodalHesc,
    *,
    seq_len: int = LENGTH,
    forward_dtype: str = "float32",
    **changes: Any,
) -> MultimodalHesc:
    """A network as the generator stands. Raises ValueError for settings that contradict each other."""
    config = HescConfig(**(TINY | changes))
    for name, sentence in config.conflicts():
        raise ValueError(f"{name}: {sentence}")
    return kind(config, vocab_size=VOCABULARY, seq_len=seq_len, num_puzzle_identifiers=3, forward_dtype=forward_dtype)


def make_batch(
    rows: int = 6, seed: int = 0, *, kinds: tuple[Kind, ...] = KINDS, pairs: int = 2, side: int = SIDE
) -> dict[str, Tensor]:
    """Rows of the kinds in turn: grids whose answer is as large as they are, bytes, pictures; row 0 has no pairs."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    length = max(side * side, WINDOW)
    kind = torch.tensor([kinds[row % len(kinds)] for row in range(rows)])
    sizes = draw(2, side, rows, 2).repeat(1, 2)
    target = torch.full((rows, length), IGNORED_LABEL)
    cells, text = torch.zeros(rows, side, side), torch.full((rows, WINDOW), PAD)
    text[:, 0] = START
    text[:, 1:] = FIRST_BYTE + draw(97, 123, rows, WINDOW - 1)
    for row in range(rows):
        height, width = sizes[row, :2].tolist()
        answer = torch.full((side, side), IGNORED_LABEL)
        answer[:height, :width] = FIRST_COLOUR + draw(0, 10, height, width)
        answer[height, :width], answer[:height, width] = EOS, EOS
        cells[row, :height, :width] = draw(1, 11, height, width).float()
        if kind[row] == Kind.GRID:
            target[row, : side * side] = answer.flatten()
        elif kind[row] == Kind.TEXT:
            target[row, : WINDOW - 1] = text[row, 1:]
        else:
            target[row, 0] = FIRST_LABEL + draw(0, LABELS, 1)
    is_grid, is_text = kind == Kind.GRID, kind == Kind.TEXT
    batch = {
        "kind": kind.int(),
        "target": target.int(),
        "puzzle_identifiers": draw(0, 3, rows).int(),
        "cells": (cells.flatten(1) * is_grid[:, None]).to(torch.uint8),
        "size": (sizes * is_grid[:, None]).to(torch.uint8),
        "text": (text * is_text[:, None]).int(),
        "picture": draw(0, 256, rows, 3, 9, 11).to(torch.uint8),
    }
    if pairs:
        has = is_grid & (torch.arange(rows) > 0)
        batch["pair_cells"] = (draw(1, 11, rows, pairs, 2, side * side) * has.view(-1, 1, 1, 1)).to(torch.uint8)
        batch["pair_size"] = torch.full((rows, pairs, 4), side).mul(has.view(-1, 1, 1)).to(torch.uint8)
    wanted = {Kind.GRID: ("cells", "size"), Kind.TEXT: ("text",), Kind.PICTURE: ("picture",)}
    unused = {name for one, names in wanted.items() if one not in kinds for name in names}
    return {name: value for name, value in batch.items() if name not in unused}


def make_draws(model: MultimodalHesc, rows: int, seed: int) -> Tensor:
    return torch.rand(rows, model.draws_per_row, generator=torch.Generator().manual_seed(seed))


class Run:
    """A training run of a few steps; step k uses the draws and the batch of k alone."""

    def __init__(self, model: MultimodalHesc, rows: int = 6, rate: float = 1e-3, **options: Any) -> None:
        self.model, self.rows, self.options = model, rows, options
        self.optimizer = torch.optim.AdamW(list(model.trunk_parameters()), lr=rate)
        self.carry = model.initial_carry(make_batch(rows, **options))

    def step(self, k: int, values: Clock[float] = Values()) -> Any:
        draws = make_draws(self.model, self.rows, 1000 + k)
        result = self.model(self.carry, make_batch(self.rows, seed=k, **self.options), values, draws)
        self.carry = result.carry
        self.optimizer.zero_grad()
        result.loss.backward()
        self.optimizer.step()
        return result
