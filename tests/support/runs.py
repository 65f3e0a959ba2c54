"""Runs for tests: prepared and carried out in this process, without a screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from trm_cli.config.compose import compose
from trm_cli.config.dump import dump_config
from trm_cli.evaluation.scores.accuracy import Accuracy
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.recording.observer import Observer
from trm_cli.training.run.datasets import Datasets
from trm_cli.training.run.run import Run
from trm_cli.training.signals import StopRequest

#: A model that takes milliseconds a step.
TINY_RUN = (
    "global_batch_size=8",
    "epochs=6",
    "eval_interval=2",
    "checkpoint_interval=1",
    "arch.hidden_size=16",
    "arch.halt_max_steps=3",
    "threads=1",
    "device=cpu",
    "wandb=disabled",
    "optimizer=adam_atan2",
    "arch.L_cycles=1",
    "arch.L_layers=1",
)
#: What the smaller capsule models leave out unless they are asked for.
EVERY_PART = (
    *(f"arch.enable_{part}=true" for part in ("latent_planning", "dqn", "expansion", "mtp")),
    "arch.text_workspace=true",
)
#: Everything that multimodal_hesc carries from step to step, small: replay, target network, demonstrations, planner.
HESC = (
    *EVERY_PART,
    "arch.token_size=16", "arch.num_heads=2", "arch.L_layers=1", "arch.text_layers=1", "arch.puzzle_emb_ndim=16",
    "arch.halt_max_steps=3", "arch.text_steps=2", "arch.pair_slots=3", "arch.picture_size=16", "arch.q_hidden_dim=16",
    "arch.replay_capacity=64", "arch.replay_min_size=8", "arch.latent_planning_paths=2", "epochs=2", "eval_interval=1",
    "lr_warmup_ratio=0", "arch.board_side=12",
)  # fmt: skip


class Recorder(Observer):
    """An observer that remembers."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.evaluations: list[tuple[int, Accuracy]] = []
        self.saved_steps: list[int] = []
        self.notes: list[str] = []

    def stepped(self, step: int, record: dict[str, Any] | None, samples_per_second: float | None) -> None:
        self.steps.append(step)

    def evaluated(self, step: int, result: Accuracy, best: bool) -> None:
        self.evaluations.append((step, result))

    def saved(self, step: int, path: Path, seconds: float) -> None:
        self.saved_steps.append(step)

    def note(self, message: str) -> None:
        self.notes.append(message)


def prepare(data: Path, run: Path, *overrides: str, arch: str = "trm_quickstart") -> tuple[Run, Recorder]:
    """A run of the tiny model on `data`, kept in `run`; continues what is there."""
    recurs = not arch.startswith("transformer")  # which has no L_level
    tiny = [word for word in TINY_RUN if recurs or not word.startswith("arch.L_")]
    words = [f"arch={arch}", f"data_paths=[{data}]", f"checkpoint_path={run}", *tiny, *overrides]
    resolved = compose("sudoku-4x4", words)
    recorder = Recorder()
    datasets = Datasets.open(resolved.config)
    machine = Machine.choose(resolved.config, datasets.train.metadata.seq_len)
    return Run.prepare(resolved.config, dump_config(resolved), datasets, machine, recorder.note), recorder


def train(data: Path, run: Path, *overrides: str, arch: str = "trm_quickstart", stop_at_step: int | None = None) -> Run:
    """Prepare and carry out (up to `stop_at_step`)."""
    prepared, recorder = prepare(data, run, *overrides, arch=arch)
    with StopRequest() as stop:
        prepared.train(recorder, stop, stop_at_step=stop_at_step)
    return prepared


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl of one kind."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's bytes, so that NaN equals NaN and 0.0 differs from -0.0."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def differing(left: Any, right: Any, name: str = "state") -> list[str]:
    """Paths of leaves of two states that are not identical to the bit."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        same = left.dtype == right.dtype and left.shape == right.shape
        return [] if same and torch.equal(_bits(left), _bits(right)) else [name]
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return [f"{name}: other keys"]
        return [path for key in left for path in differing(left[key], right[key], f"{name}.{key}")]
    if isinstance(left, list | tuple) and isinstance(right, list | tuple) and len(left) == len(right):
        return [p for i, pair in enumerate(zip(left, right, strict=True)) for p in differing(*pair, f"{name}.{i}")]
    return [] if type(left) is type(right) and left == right else [name]
