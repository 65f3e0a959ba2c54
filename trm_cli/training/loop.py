"""The training loop: execute the plan, one update at a time. It never recounts what the plan has computed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from trm_cli.data.counter_rng import uniform
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.stream.waiting import WaitCancelled
from trm_cli.data.text.labels import text_labels
from trm_cli.errors import DatasetError, ExitCode
from trm_cli.evaluation.scores.accuracy import EvaluationInterrupted, evaluate
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.training.checkpoint.saver import CheckpointSaver
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.sharding import gathered
from trm_cli.training.distributed.stop_agreement import StopAgreement
from trm_cli.training.nonfinite import give_up
from trm_cli.training.profiling import NoProfile
from trm_cli.training.recording.observer import Observer
from trm_cli.training.recording.recorders import RunRecorders
from trm_cli.training.signals import StopRequest
from trm_cli.training.state import TrainingState
from trm_cli.training.step import StepSettings, drain, update

#: How often a run that waits for data polls for a requested checkpoint.
_POLL_SECONDS = 0.5
_log = logging.getLogger(__name__)


class TrainingData(Protocol):
    """What the loop needs of a training set: the batch of an update, as a function of its number alone."""

    def train_batch(self, step: int) -> dict[str, np.ndarray]:
        """The rows of update `step` (1-based)."""


class EvaluationData(Protocol):
    """What the loop needs of a test set."""

    metadata: DatasetMetadata

    def eval_count(self, batch_size: int) -> int:
        """How many batches hold all rows."""

    def eval_batch(self, index: int, batch_size: int, rows: slice | None = None) -> dict[str, np.ndarray]:
        """Batch `index`, or some of its rows; the last batch is padded (`valid` [B] says which rows count)."""


@dataclass(frozen=True)
class LoopSettings:
    """What the loop needs from the configuration, beyond the plan."""

    step: StepSettings
    nonfinite_limit: int
    seed: int
    log_interval: int
    checkpoint_seconds: float | None
    eval_batch_size: int
    eval_batches: int | None
    save_carry: bool
    device: torch.device


class Loop:
    """Runs a plan from the state's step to the end, or until it is asked to stop."""

    def __init__(
        self,
        *,
        plan: TrainingPlan,
        state: TrainingState,
        train: TrainingData,
        test: EvaluationData | None,
        store: CheckpointStore,
        recorders: RunRecorders,
        observer: Observer,
        settings: LoopSettings,
        profile: NoProfile,
        sealed: bool = True,
    ) -> None:
        """store is written to in the first process alone. sealed: the newest checkpoint holds the plan of this run."""
        self.plan = plan
        self.state = state
        self.train = train
        self.test = test
        self.recorders = recorders
        self.observer = observer
        self.settings = settings
        self.profile = profile
        self.process_group = settings.step.process_group
        self._saver = CheckpointSaver(
            store=store,
            state=state,
            recorders=recorders,
            observer=observer,
            device=settings.device,
            with_carry=settings.save_carry,
            seconds=settings.checkpoint_seconds,
            process_group=self.process_group,
        )
        self._sealed = sealed
        self._logged_at = time.monotonic()

    def run(self, stop: StopRequest, *, last_step: int | None = None) -> ExitCode:
        """Execute the plan; returns DONE, or the exit code of the signal that ended the run after a saved checkpoint.

        last_step ends the run early, saved, with the schedule unchanged. Raises DatasetError, after a saved checkpoint
        as well, when the data of the next step cannot be had, and TrmError when the last checkpoint cannot be written.
        """
        end = min(self.plan.total_steps, last_step or self.plan.total_steps)
        agreed = StopAgreement(stop, self.process_group)
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool, _marking_failure(stop):
                self._execute(pool, end, agreed)
        except WaitCancelled:
            # The stop came while waiting for a batch: the last step is complete, and the next one has not begun.
            assert stop
        except DatasetError:
            if self.process_group.count == 1:  # the others have begun an update that this process cannot take part in
                self._saver.save_last()
            raise
        self._saver.save_last()
        return agreed.exit_code or ExitCode.DONE

    def _execute(self, pool: ThreadPoolExecutor, end: int, stop: StopAgreement) -> None:
        if not self._sealed:
            self._saver.save()  # at once: what is read of a run is what was saved with its weights
        self._finish_step(stop)  # an evaluation that the last process could not complete
        first = self.state.step + 1
        following = pool.submit(self.train.train_batch, first) if first <= end else None
        while following is not None and not stop:
            step = self.state.step + 1
            self.profile.begin(step)
            self.profile.enter("data")
            arrays = self._batch(following, stop)
            # The next batch is drawn while this one is computed; it depends on its number alone.
            following = pool.submit(self.train.train_batch, step + 1) if step < end else None
            self._update(step, arrays)
            self.profile.end(step)
            if step == first:
                self._saver.check_disk_space()
            self._finish_step(stop)

    def _batch(self, following: Future[dict[str, np.ndarray]], stop: StopAgreement) -> dict[str, np.ndarray]:
        """Wait for the next batch; a checkpoint that is requested meanwhile is saved."""
        while not wait((following,), timeout=_POLL_SECONDS).done:
            if stop.save_wanted:
                self._saver.save_wanted(stop)
        return following.result()

    def _update(self, step: int, arrays: dict[str, np.ndarray]) -> None:
        device = self.settings.device
        batch = {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in arrays.items()}
        draws = self._draws(step)
        skipped = update(self.state, batch, draws, self.plan.values_at(step), self.settings.step)
        self.profile.enter("")
        self.state.step = step
        if skipped is not None:
            self.observer.note(f"update {step:,} skipped: {skipped.reason}")
            if skipped.fault and self.state.skipped_in_a_row >= self.settings.nonfinite_limit:
                kept_in = self._saver.store.directory
                values = self.plan.record_at(step)
                raise give_up(self.state, skipped, batch, draws, values, kept_in, self.process_group)
        record = self._log(step) if self._is_logged(step) else None
        if record is None:
            self.observer.stepped(step, None, None)

    def _draws(self, step: int) -> Tensor:
        """All randomness of this process's rows [b, K]."""
        total = self.settings.step.global_batch_size
        columns = int(self.state.model.draws_per_row)
        draws = draws_of_rows(self.settings.seed, step, self.process_group.rows(total), total, columns)
        return torch.from_numpy(draws).to(self.settings.device, non_blocking=True)

    def _is_logged(self, step: int) -> bool:
        return step % self.settings.log_interval == 0 or step == self.plan.total_steps or step == 1

    def _log(self, step: int) -> dict[str, Any]:
        batch_size = self.settings.step.global_batch_size
        averaged = drain(self.state, batch_size, self.process_group)
        record = {"kind": "train", "step": step, **averaged.means, **self.plan.record_at(step)}
        now = time.monotonic()
        speed = averaged.updates * batch_size / max(now - self._logged_at, 1e-9)
        self._logged_at = now
        self.recorders.metrics.write(record)
        shares = self.profile.shares()
        self.recorders.timings.write({"step": step, "samples_per_second": round(speed, 3), **shares})
        for logger in self.recorders.loggers:
            logger.write(step, {**record, "samples_per_second": speed, **shares})
        self.observer.stepped(step, record, speed)
        _log.debug("%s", record)
        return record

    def _finish_step(self, stop: StopAgreement) -> None:
        """Evaluate and save where the plan says so for the state's step (and, between, where time says so)."""
        step = self.state.step
        stop.poll(due=self._saver.is_due)
        while self.test is not None and self.plan.is_eval(step) and self.state.evaluated_step != step:
            try:
                self._evaluate(step, stop)
            except EvaluationInterrupted:
                if stop:
                    return
                self._saver.save_wanted(stop)  # then the evaluation, of which nothing was recorded, begins again
        started = time.monotonic()
        planned = self.plan.is_checkpoint(step) or self.state.best_step == step
        if step and not self._saver.is_saved and (planned or stop.due):
            self._saver.save()
        if stop.save_wanted:
            self._saver.save_wanted(stop)
        self._logged_at += time.monotonic() - started  # saving is not training time

    def _evaluate(self, step: int, stop: StopAgreement) -> None:
        assert self.test is not None
        started = time.monotonic()

        def between_batches(rows: int) -> bool:
            self.observer.evaluating(rows)
            stop.poll()
            # What is saved already is no reason to begin again: signals that keep coming would never let it end.
            return bool(stop) or (stop.save_wanted and not self._saver.is_saved)

        with self._averaged_weights(), gathered(self.state.model, sharded=self.state.sharded):
            result = evaluate(
                self.state.model,
                self._eval_batches(self.test),
                self.settings.device,
                micro_batch_size=self.settings.step.micro_batch_size,
                between_batches=between_batches,
                text=text_labels(self.test.metadata),
                total=self.process_group.total,
            )
        best = result.score > self.state.best_score
        if best:
            self.state.best_score = result.score
            self.state.best_step = step
        self.state.evaluated_step = step
        record = {"kind": "eval", "step": step, **result.to_json()}
        self.recorders.metrics.write(record)
        self.recorders.timings.write({"step": step, "evaluation_seconds": round(time.monotonic() - started, 3)})
        for logger in self.recorders.loggers:
            logger.write(step, record)
        self.observer.evaluated(step, result, best)
        self._logged_at += time.monotonic() - started  # an evaluation is not training time

    def _eval_batches(self, test: EvaluationData) -> Iterator[dict[str, np.ndarray]]:
        """This process's rows of each evaluation batch: as many batches in every process."""
        size = self.settings.eval_batch_size
        count = test.eval_count(size)
        for index in range(min(count, self.settings.eval_batches or count)):
            yield test.eval_batch(index, size, self.process_group.rows(size))

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        if self.state.ema is None:
            yield
        else:
            with self.state.ema.swapped(self.state.model):
                yield


@contextmanager
def _marking_failure(stop: StopRequest) -> Iterator[None]:
    """Where the block fails, cancel a reader that waits for data to be built, because its thread is joined."""
    try:
        yield
    except BaseException:
        stop.failed = True
        raise


def draws_of_rows(seed: int, step: int, rows: slice, total: int, columns: int) -> np.ndarray:
    """Uniform float32 numbers [b, K] from (seed, step, row), for some rows of a batch of `total`.

    They are the same on any device and in any process.
    """
    counters = (step - 1) * total + np.arange(rows.start, rows.stop)
    return uniform(seed, "halting", counters, columns).astype(np.float32)
