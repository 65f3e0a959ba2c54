"""Measure whether EXPAND chooses capsules with fine detail: two kinds of grid, to be copied, through a few capsules.

    python -m benchmarks.expand_toy [--updates 1500] [--seed 0]

A coarse grid has one colour; a sketch says all there is. A fine grid has a random colour in every cell: a capsule sees
more of them than its sketch holds, and its children, one for each part of its region, hold the rest. Nothing but the
picture itself tells the model which kind a row is. Grids are drawn anew for every batch. An evaluation lets the
Q-network choose between CONTINUE and EXPAND (no row halts early) and counts the capsules open at its last step.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trm_cli.config.sources.yaml_loader import load_yaml
from trm_cli.data.stream.canvas_codes import CanvasSpec
from trm_cli.data.stream.canvas_rows import grid_row
from trm_cli.models.families import create_network
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.model import MultimodalHesc
from trm_cli.models.hesc.network import HescOutputs
from trm_cli.models.thinking import think
from trm_cli.schedule.clock import Clock

MINI = Path(__file__).parents[1] / "configs" / "arch" / "multimodal_hesc_mini.yaml"
CELLS_PER_SIDE, CELL = 8, 7
#: The mini with a sketch for sixteen cells, in which only what is asked about here can help.
CHANGES: dict[str, object] = {
    "canvas_size": CELLS_PER_SIDE * CELL,
    "capsule_rows": 2,
    "capsule_columns": 2,
    "children_per_capsule": 4,
    "halt_max_steps": 6,
    "puzzle_emb_ndim": 0,
    "enable_dqn": True,
    "enable_expansion": True,
    "enable_latent_planning": False,
    "enable_mtp": False,
    "enable_vq": False,
    "enable_memory": False,
}
KINDS = ("coarse", "fine")
BATCH, HELD_OUT = 32, 256
LEARNING_RATE = 1.0e-3


def clock_at(progress: float) -> Clock[float]:
    """The shipped schedules, but for an EXPAND that stays dear enough to be worth saving; progress in 0 .. 1."""
    half = min(1.0, 2 * progress)
    return Clock(
        expansion_penalty=0.005,
        q_temperature=0.1**progress,
        epsilon=0.3 - 0.25 * half,
        dqn_warmup=min(1.0, 10 * progress),
    )


def make(settings: dict[str, object]) -> MultimodalHesc:
    """The shipped mini with some of its settings changed."""
    config = HescConfig.model_validate(load_yaml(MINI).data | settings)
    model = create_network(config, vocab_size=272, seq_len=CELLS_PER_SIDE**2, num_puzzle_identifiers=1)
    assert isinstance(model, MultimodalHesc)
    return model


def batch_of(chance: np.random.Generator, rows: int, kinds: np.ndarray) -> dict[str, Tensor]:
    """Grids of the canvas's size to be copied, rows of kinds [B]: 0 one colour, 1 every cell its own."""
    spec = CanvasSpec(CELLS_PER_SIDE * CELL)
    colours = chance.integers(0, 10, (rows, CELLS_PER_SIDE, CELLS_PER_SIDE)).astype(np.uint8)
    grids = np.where(kinds[:, None, None] == 1, colours, colours[:, :1, :1])
    drawn = [grid_row(grid, spec, CELLS_PER_SIDE**2, wanted=grid) for grid in grids]
    return {name: torch.from_numpy(np.concatenate([row[name] for row in drawn])) for name in drawn[0]}


@torch.no_grad()
def evaluate(model: MultimodalHesc, chance: np.random.Generator) -> dict[str, dict[str, float]]:
    """By kind: right cells, exact grids, and opened capsules after as many choices as there are steps."""
    model.eval()
    found = {}
    for kind, name in enumerate(KINDS):
        batch = batch_of(chance, HELD_OUT, np.full(HELD_OUT, kind))
        for step in think(model, batch):
            outputs = step.outputs
        assert isinstance(outputs, HescOutputs) and outputs.opened is not None
        right = model.answer(outputs) == batch["target"]
        found[name] = {
            "cells": round(float(right.float().mean()), 4),
            "exact": round(float(right.all(1).float().mean()), 4),
            "opened": round(float(outputs.opened.sum(1).float().mean()), 3),
        }
    model.train()
    return found


def train(updates: int, seed: int, settings: dict[str, object]) -> None:
    """Train, print a line of JSON at ten moments."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    model, chance = make(CHANGES | settings), np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.trunk_parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, updates, pct_start=0.03)
    carry = model.initial_carry(batch_of(chance, BATCH, np.zeros(BATCH)))
    started = time.process_time()
    for update in range(updates):
        batch = batch_of(chance, BATCH, chance.integers(0, 2, BATCH))
        draws = torch.rand(BATCH, model.draws_per_row)
        result = model(carry, batch, clock_at(update / updates), draws)
        carry = result.carry
        optimizer.zero_grad()
        (result.loss / BATCH).backward()
        torch.nn.utils.clip_grad_norm_(model.trunk_parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (update + 1) % max(1, updates // 10) == 0:
            line = {"update": update + 1, "seconds": round(time.process_time() - started)}
            print(json.dumps(line | evaluate(model, np.random.default_rng(seed + 1))), flush=True)


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("settings", nargs="*", help="changes of the architecture, KEY=NUMBER")
    arguments = parser.parse_args()
    words = dict(word.split("=", 1) for word in arguments.settings)
    train(arguments.updates, arguments.seed, {key: json.loads(value) for key, value in words.items()})


if __name__ == "__main__":
    main()
