"""Small ARC tasks as files, and a network that has been trained on some of them for two updates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.commands import trm

Rule = Callable[[Any], Any]
#: Trained on by `write_source`, and new to it.
KNOWN: Mapping[str, Rule] = {"one": lambda grid: (grid + 1) % 10, "two": lambda grid: (grid + 2) % 10}
NEW: Mapping[str, Rule] = {"mirror": np.fliplr, "flip": np.flipud}
SMALLEST = (
    "arch.hidden_size=8", "arch.num_heads=1", "arch.puzzle_emb_ndim=8", "arch.puzzle_emb_len=1", "arch.H_cycles=1",
    "arch.L_cycles=1", "arch.L_layers=1", "arch.halt_max_steps=1", "global_batch_size=2", "threads=1", "device=cpu",
    "precision=float32", "wandb=disabled",
)  # fmt: skip


def pairs(rule: Rule, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs of a rule on random grids of 2x3 cells."""
    random = np.random.default_rng(seed)
    givens = [random.integers(0, 10, (2, 3)) for _ in range(count)]
    return [{"input": given.tolist(), "output": rule(given).tolist()} for given in givens]


def task(rule: Rule, tests: int = 1) -> dict[str, Any]:
    """A task as its file has it: two demonstrations, and test inputs without outputs."""
    asked = [{"input": pair["input"]} for pair in pairs(rule, tests, seed=1)]
    return {"train": pairs(rule, 2), "test": asked}


def write_challenges(path: Path, tasks: Mapping[str, Any] | None = None) -> Path:
    """A challenges file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: task(rule) for name, rule in NEW.items()} if tasks is None else tasks))
    return path


def write_source(home: Path, *words: str) -> Path:
    """Train the smallest network on the known tasks; returns its run, checkpoints/source of `home`."""
    known = {name: {"train": pairs(rule, 2), "test": pairs(rule, 1, seed=1)} for name, rule in KNOWN.items()}
    write_challenges(home / "known" / "arc-agi_training_challenges.json", known)
    data = {"source": "known", "subsets": "[training]", "test_set_name": "training", "num_aug": 1, "output_dir": "data"}
    named = [f"dataset_args.{key}={value}" for key, value in data.items()]
    line = ["train", "arc-1", *SMALLEST, *named, "epochs=1", "eval_interval=1", "checkpoint_path=checkpoints/source"]
    done = trm(*line, *words, cwd=home)
    assert done.returncode == 0, done.stderr
    return home / "checkpoints/source"
