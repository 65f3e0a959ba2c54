"""Train a recipe as `trm train` does for a given processor time: its schedule ends where the time does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processor_time import ProcessorTime, SavedSeconds
from trm_cli.config.compose import Resolved, compose
from trm_cli.evaluation.scores.accuracy import Accuracy
from trm_cli.training.recording.observer import Observer
from trm_cli.workflows.observers import TrainingObserver, TrainingStart
from trm_cli.workflows.train.train import TrainRequest, run_training

#: Updates that tell what one costs: the first ones compile and allocate.
_PROBED, _WARM = 16, 6
#: A last epoch that would be shorter than this is left out: a schedule that is cut off keeps a high learning rate.
_LEAST_EPOCH = 0.5


@dataclass(frozen=True)
class TimedRun:
    """A run that has ended. planned: updates of its schedule; seconds: of the processor, for its updates alone."""

    path: Path
    updates: int
    planned: int
    seconds: float
    epochs: int


class _Clocked(TrainingObserver):
    """Counts the processor seconds of a training loop, from its start to its end or to its limit.

    Evaluations are left out: how often a curve is drawn does not change what the training is given.
    """

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

    def evaluated(self, step: int, result: Accuracy, best: bool) -> None:
        """An evaluation is complete."""
        del result, best
        if self.at_step:
            self.time.start(self.at_step[-1])
            self._saved.save(step, self.at_step[-1])

    def saved(self, step: int, path: Path, seconds: float) -> None:
        """A checkpoint is durable."""
        del path, seconds
        self._saved.save(step, self.at_step[-1] if self.at_step else self.time.seconds)

    def over(self) -> bool:
        """Whether the time is up."""
        return self.time.seconds >= self._limit


def train(
    recipe: str, run: Path, seconds: float, settings: Sequence[str], *, slack: float = 1.0, evaluations: int = 1
) -> TimedRun:
    """Train, or continue, a run of the recipe with `settings` until its schedule or `slack * seconds` end.

    What an update costs is measured first, and the schedule is made as long as the time. `evaluations` are spread
    evenly over the run, the last one at its end.
    """
    fixed = ["wandb=disabled", "threads=1", "device=cpu", *settings]
    plan = _beside(run, "plan.json")
    if not plan.is_file():
        plan.parent.mkdir(parents=True, exist_ok=True)
        epochs = _epochs(recipe, _beside(run, "probe"), fixed, seconds)
        plan.write_text(json.dumps({"epochs": max(epochs // evaluations, 1) * evaluations}))
    epochs = json.loads(plan.read_text())["epochs"]
    saved = SavedSeconds(_beside(run, "seconds.json"))
    clocked = _Clocked(saved, slack * seconds)
    composed = _composed(recipe, run, fixed, epochs, epochs // evaluations)
    result = run_training(composed, TrainRequest(stop_when=clocked.over), clocked)
    if result.step < result.total_steps and clocked.at_step and not clocked.over():
        raise SystemExit(int(result.exit_code))  # a signal: the run continues when it is asked for again
    taken = clocked.at_step[-1] if clocked.at_step else saved.at(result.step)
    return TimedRun(run, result.step, result.total_steps, taken, epochs)


def _composed(recipe: str, run: Path, fixed: Sequence[str], epochs: int, interval: int) -> Resolved:
    return compose(recipe, [*fixed, f"epochs={epochs}", f"eval_interval={interval}", f"checkpoint_path={run}"])


def _epochs(recipe: str, probe: Path, fixed: Sequence[str], seconds: float) -> int:
    """How many epochs the time is enough for, by what updates cost; of a depth that grows, at both of its ends."""
    deep = [word for word in fixed if not word.partition("=")[0].endswith("s_start")]
    ends = [fixed] if deep == list(fixed) else [fixed, deep]
    probed = [_probe(recipe, probe, words, seconds / 4) for words in ends]
    cost = sum(cost for cost, _ in probed) / len(probed)
    return max(1, int(seconds / cost / probed[0][1] + 1 - _LEAST_EPOCH))


def _probe(recipe: str, probe: Path, fixed: Sequence[str], limit: float) -> tuple[float, float]:
    """The processor seconds of an update, after the first ones, and the updates of an epoch."""
    shutil.rmtree(probe, ignore_errors=True)
    clocked = _Clocked(SavedSeconds(_beside(probe, "seconds.json")), limit)
    request = TrainRequest(stop_at_step=_PROBED, stop_when=clocked.over)
    run_training(_composed(recipe, probe, fixed, 1_000, 1_000), request, clocked)
    shutil.rmtree(probe)
    _beside(probe, "seconds.json").unlink(missing_ok=True)
    times = [0.0, *clocked.at_step]  # from the start on, where the time was enough for a single update
    first = min(_WARM + 1, len(times) - 2)
    cost = (times[-1] - times[first]) / (len(times) - 1 - first)
    return cost, clocked.total_steps / 1_000


def curve(run: Path) -> list[tuple[float, float]]:
    """What the evaluations of a run found, each as (processor seconds before it, share of exact answers)."""
    saved = SavedSeconds(_beside(run, "seconds.json"))
    records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(saved.at(one["step"]), round(one["exact_accuracy"], 4)) for one in records if one["kind"] == "eval"]


def _beside(run: Path, what: str) -> Path:
    return run.with_name(f"{run.name}.{what}")
