"""Run one job of the card: its data, its training, its scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.hesc_card.card import ROWS, Row
from benchmarks.hesc_card.learners import capsules, classifiers, counts, halting, loop, scoring
from benchmarks.hesc_card.learners.transformers import ByteTransformer, CellTransformer, PlainLearner
from benchmarks.hesc_card.learners.trm_on_cells import TrmLearner
from benchmarks.hesc_card.results import Job
from benchmarks.hesc_card.sources import data
from benchmarks.hesc_card.sources.digits import Digits
from benchmarks.hesc_card.sources.texts import Texts
from benchmarks.result_file import Entry, commit_of
from trm_cli.data.puzzles.dataset import BatchOrder
from trm_cli.training.hardware.torch_runtime import set_seed
from trm_cli.workflows.solve.demonstrated import VOTES

#: Learning rates of the baselines; the best of short trainings on the part to choose by is used.
_RATES = (5e-4, 1e-3, 2e-3)
#: What an entry is a result of.
_CODE = ("trm_cli", "benchmarks/hesc_card/*.py", "configs")
#: Share of a training's time that each of these takes.
_TRIED = 1 / 6


def run(job: Job, folder: Path) -> Entry:
    """Train and score a model on held-out rows, once; an interrupted job continues where it was."""
    row = ROWS[job.row]
    found = _Job(job, row, folder, data.prepare(folder / "data" / job.row, row.sources))
    return {
        **job._asdict(),
        "says": row.says,
        **found.result(),
        "dataset": found.data.checksum,
        "commit": commit_of(*_CODE),
    }


def try_out(job: Job, folder: Path, settings: Sequence[str]) -> Entry:
    """Train ours with other settings and score it on the part to choose by: nothing held out is looked at."""
    row, name = ROWS[job.row], "data-on-trial" if ROWS[job.row].on_trial else "data"
    prepared = data.prepare(folder / name / job.row, row.on_trial or row.sources)
    path = folder / "tried" / f"{job.name}-{time.time_ns()}"
    seconds = row.minutes * 60 * job.scale
    trained = capsules.train_capsules(path, prepared.path, seconds, job.seed, [*row.settings_of(job.model), *settings])
    scores = {kind: scoring.score(trained.answer, one) for kind, one in prepared.chosen_on.items()}
    return {**job._asdict(), "chosen_on": scores, **_described(trained)}


def _described(trained: capsules.Trained) -> Entry:
    return {
        "parameters": trained.parameters,
        "updates": trained.updates,
        "planned_updates": trained.planned,
        "processor_seconds": round(trained.seconds, 1),
        "settings": trained.settings,
    }


class _Job:
    def __init__(self, job: Job, row: Row, folder: Path, prepared: data.Data) -> None:
        self.job, self.row, self.data = job, row, prepared
        self.seconds = row.minutes * 60 * job.scale
        self.path = folder / "runs" / job.name

    def result(self) -> Entry:
        """Scores, and what they were had with."""
        model = self.job.model
        if model.startswith("mini"):
            return self._capsules()
        if model.startswith("count-"):
            return self._counts(int(model.removeprefix("count-")))
        if model in classifiers.MODELS:
            return self._classifier(model)
        return self._baseline()

    def _capsules(self) -> Entry:
        settings = self.row.settings_of(self.job.model)
        trained = capsules.train_capsules(self.path, self.data.path, self.seconds, self.job.seed, settings)
        held_out = self.data.held_out
        scores: dict[str, Any] = {kind: scoring.score(trained.answer, one) for kind, one in held_out.items()}
        if len(scores) == 1:
            (scores,) = scores.values()
        if self.job.row == "h":
            scores["without_pairs"] = scoring.score(trained.answer, held_out["grids"].without_pairs())["mean"]
            scores["voted"] = scoring.voted(trained.network, self.data.train.shape, held_out["grids"], VOTES)
        if self.job.row == "i":
            scores["stopping"] = halting.curves(trained.network, self.data.chosen_on["grids"], held_out["grids"])
        return {"scores": scores, **_described(trained)}

    def _counts(self, order: int) -> Entry:
        started = time.process_time()
        source = self.row.sources["text"]
        assert isinstance(source, Texts)
        train, _, held_out = source.documents()
        bits = counts.bits_per_byte(train, held_out, [order])[order]
        seconds = round(time.process_time() - started, 1)
        scores = {"bits_per_byte": round(bits, 4), "bytes": sum(map(len, held_out))}
        return {"scores": scores, "parameters": 0, "updates": 0, "processor_seconds": seconds, "settings": {}}

    def _classifier(self, model: str) -> Entry:
        started = time.process_time()
        source = self.row.sources["pictures"]
        assert isinstance(source, Digits)
        scores, settings = classifiers.classify(model, self.job.seed, source.copies)
        seconds = round(time.process_time() - started, 1)
        return {"scores": scores, "parameters": 0, "updates": 0, "processor_seconds": seconds, "settings": settings}

    def _baseline(self) -> Entry:
        torch.set_num_threads(1)
        tried = {rate: self._tried(rate) for rate in _RATES}
        lower_is_better = "text" in self.data.held_out
        rate = (min if lower_is_better else max)(tried, key=tried.__getitem__)
        learner = self._learner(self.job.seed)
        ended = loop.train(learner, self._batches(self.job.seed), self.seconds, rate, self.path / "checkpoint.pt")
        (examples,) = self.data.held_out.values()
        return {
            "scores": scoring.score(learner.answer, examples),
            "parameters": learner.parameters,
            "updates": ended.updates,
            "processor_seconds": round(ended.seconds, 1),
            "settings": {"rate": rate, "tried": {f"{key:g}": value for key, value in tried.items()}},
        }

    def _tried(self, rate: float) -> float:
        """How good a short training with this rate is on the part to choose by; the same for all seeds."""
        learner, path = self._learner(0), self.path.with_name(f"{self.job._replace(seed=0).name}-rate-{rate:g}.pt")
        loop.train(learner, self._batches(0), self.seconds * _TRIED, rate, path)
        (examples,) = self.data.chosen_on.values()
        scores = scoring.score(learner.answer, examples)
        # Where nothing is right as a whole yet, right places tell the rates apart.
        return float(scores.get("bits_per_byte", scores.get("mean", 0) + scores.get("places", 0) / 1_000))

    def _learner(self, seed: int) -> loop.Learner:
        set_seed(seed)
        metadata, side = self.data.train.metadata, self.data.train.shape.side
        if self.job.model == "trm":
            return TrmLearner(metadata, side, self.row.batch, seed)
        return PlainLearner(CellTransformer(metadata.num_puzzle_identifiers, side) if side else ByteTransformer())

    def _batches(self, seed: int) -> Callable[[int], loop.Rows]:
        order = BatchOrder(self.row.batch, 1, "whole_run")

        def batch(step: int) -> loop.Rows:
            return {
                name: torch.from_numpy(value) for name, value in self.data.train.train_batch(step, order, seed).items()
            }

        return batch
