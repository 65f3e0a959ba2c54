"""Train the capsule network as `trm train` does, for a given processor time, and let it answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.hesc_card.learners.processor_time import ProcessorTime, SavedSeconds
from benchmarks.hesc_card.learners.scoring import Answers
from trm_cli.config.compose import Resolved, compose
from trm_cli.models.network import Network
from trm_cli.models.thinking import think
from trm_cli.training.recording.observer import Observer
from trm_cli.training.run.trained_model import load_file
from trm_cli.workflows.observers import TrainingObserver, TrainingStart
from trm_cli.workflows.train.train import TrainRequest, run_training

_RECIPE = "unified-mini"
#: Updates that tell what one costs: the first ones compile and allocate.
_PROBED, _WARM = 16, 6
#: A last epoch that would be shorter than this is left out.
_LEAST_EPOCH = 0.25


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


class _Clocked(TrainingObserver):
    """Counts the processor seconds of a training loop, from its start to its end or to its limit."""

    def __init__(self, saved: SavedSeconds, limit: float) -> None:
        self.time, self._saved, self._limit = ProcessorTime(), saved, limit
        self.step, self.total_steps = 0, 0
        self.at_step: list[float] = []

    def training(self, start: TrainingStart) -> AbstractContextManager[Observer]:
        """The loop begins."""
        self.step, self.total_steps = start.first_step, start.plan.total_steps
        self.time.start(self._saved.at(start.first_step))
        return nullcontext(self)

    def stepped(self, step: int, record: object, samples_per_second: float | None) -> None:
        """An update is done."""
        del record, samples_per_second
        self.step = step
        self.at_step.append(self.time.seconds)

    def saved(self, step: int, path: Path, seconds: float) -> None:
        """A checkpoint is durable."""
        del path, seconds
        self._saved.save(step, self.time.seconds)

    def over(self) -> bool:
        """Whether the time is up."""
        return self.time.seconds >= self._limit


def train_capsules(run: Path, dataset: Path, seconds: float, seed: int, settings: Sequence[str]) -> Trained:
    """Train, or continue, a run of the recipe with `settings` until its schedule or `seconds` of the processor end."""
    fixed = [f"data_paths=[{dataset}]", f"seed={seed}", "wandb=disabled", "threads=1", "device=cpu", *settings]
    plan = _beside(run, "plan.json")
    if not plan.is_file():
        plan.parent.mkdir(parents=True, exist_ok=True)
        plan.write_text(json.dumps({"epochs": _epochs(_beside(run, "probe"), fixed, seconds)}))
    epochs = json.loads(plan.read_text())["epochs"]
    resolved = _composed(run, fixed, epochs)
    clocked = _Clocked(SavedSeconds(_beside(run, "seconds.json")), seconds)
    result = run_training(resolved, TrainRequest(stop_when=clocked.over, forecast=False), clocked)
    if result.step < result.total_steps and clocked.at_step and not clocked.over():
        raise SystemExit(int(result.exit_code))  # a signal: the run continues when it is asked for again
    taken = clocked.time.seconds if clocked.at_step else SavedSeconds(_beside(run, "seconds.json")).at(result.step)
    trained = load_file(run / "latest.pt")
    named = {"recipe": _RECIPE, "set": list(settings), "epochs": epochs, "weights": trained.weights}
    return Trained(trained.model.eval(), trained.step, result.total_steps, taken, named)


def _composed(run: Path, fixed: Sequence[str], epochs: int) -> Resolved:
    return compose(_RECIPE, [*fixed, f"epochs={epochs}", f"eval_interval={epochs}", f"checkpoint_path={run}"])


def _epochs(probe: Path, fixed: Sequence[str], seconds: float) -> int:
    """How many epochs the time is enough for, by what a few updates cost."""
    shutil.rmtree(probe, ignore_errors=True)
    clocked = _Clocked(SavedSeconds(_beside(probe, "seconds.json")), seconds / 4)
    request = TrainRequest(stop_at_step=_PROBED, stop_when=clocked.over, forecast=False)
    run_training(_composed(probe, fixed, 1_000), request, clocked)
    shutil.rmtree(probe)
    _beside(probe, "seconds.json").unlink(missing_ok=True)
    first = min(_WARM, len(clocked.at_step) - 2)
    cost = (clocked.at_step[-1] - clocked.at_step[first]) / (len(clocked.at_step) - 1 - first)
    epochs = seconds / cost / (clocked.total_steps / 1_000)
    return max(1, int(epochs + 1 - _LEAST_EPOCH))


def _beside(run: Path, what: str) -> Path:
    return run.with_name(f"{run.name}.{what}")
