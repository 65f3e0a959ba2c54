"""Train the capsule network as `trm train` does, for a given processor time, and let it answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import timed_training
from benchmarks.hesc_card.learners.scoring import Answers
from trm_cli.models.network import Network
from trm_cli.models.thinking import think
from trm_cli.training.run.trained_model import load_file

_RECIPE = "unified-mini"


@dataclass(frozen=True)
class Trained:
    """A trained model. planned: updates of the schedule, of which `updates` fitted into the time."""

    network: Network
    updates: int
    planned: int
    seconds: float
    settings: dict[str, object]

    @property
    def parameters(self) -> int:
        """All of them, rows of the puzzle table included."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def answer(self, batch: dict[str, torch.Tensor], policy: str = "full") -> Answers:
        """The answers after all steps."""
        batch = {name: value.long() if value.dtype == torch.int32 else value for name, value in batch.items()}
        self.network.eval()
        outputs = None
        for step in think(self.network, batch, policy=policy):
            outputs = step.outputs
        assert outputs is not None
        nats = self.network.label_nats(outputs, batch["target"])
        return Answers(self.network.answer(outputs).numpy(), nats.numpy())


def train_capsules(run: Path, dataset: Path, seconds: float, seed: int, settings: Sequence[str]) -> Trained:
    """Train, or continue, a run of the recipe with `settings` until its schedule or `seconds` of the processor end."""
    ended = timed_training.train(_RECIPE, run, seconds, [f"data_paths=[{dataset}]", f"seed={seed}", *settings])
    trained = load_file(run / "latest.pt")
    named = {"recipe": _RECIPE, "optimizer": trained.config.optimizer, "set": list(settings),
             "epochs": ended.epochs, "weights": trained.weights}  # fmt: skip
    return Trained(trained.model.eval(), trained.step, ended.planned, ended.seconds, named)
