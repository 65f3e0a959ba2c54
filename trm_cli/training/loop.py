"""The training loop: execute the plan, one update at a time. It never recounts what the plan has computed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from trm_cli.config.schema import RunConfig
from trm_cli.data.counter_rng import uniform
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.storage.waiting import WaitCancelled
from trm_cli.data.text.labels import text_labels
from trm_cli.errors import DatasetError, ExitCode
from trm_cli.evaluation.rows import Data
from trm_cli.evaluation.scores.accuracy import EvaluationInterrupted, evaluate
from trm_cli.models.upload import computes_apart
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.training.averages import drain
from trm_cli.training.batch_transfer import BatchTransfer
from trm_cli.training.checkpoint.saver import CheckpointSaver
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.gradient_sum import GradientSum
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.distributed.sharding import gathered
from trm_cli.training.distributed.stop_agreement import StopAgreement
from trm_cli.training.distributed.tensor_shards import local_tensors
from trm_cli.training.hardware.resources import measured_memory
from trm_cli.training.hardware.usage import Usage
from trm_cli.training.nonfinite import give_up
from trm_cli.training.profiling import NoProfile
from trm_cli.training.recording.observer import Observer
from trm_cli.training.recording.recorders import RunRecorders
from trm_cli.training.signals import StopRequest
from trm_cli.training.state.training_state import TrainingState
from trm_cli.training.step import Skipped, StepSettings, settle, update
from trm_cli.units import memory_size

#: How often a run that waits for data polls for a requested checkpoint.
_POLL_SECONDS = 0.5
#: Updates of a record where reading one waits for the device.
_LOGGED_TOGETHER = 10
_log = logging.getLogger(__name__)


@dataclass
class Loop:
    """Runs a plan from the state's step to the end, or until it is asked to stop.

    train_batch: the rows of an update, as a function of its number (1-based) alone. eval_batch_size: rows of one batch
    of an evaluation, over all processes. store: written to in the first process alone. sealed: the newest checkpoint
    holds the plan of this run. graphs: the network is replayed as CUDA graphs.
    """

    config: RunConfig
    plan: TrainingPlan
    state: TrainingState
    train_batch: Callable[[int], Batch]
    test: Data | None
    eval_batch_size: int
    store: CheckpointStore
    recorders: RunRecorders
    observer: Observer
    device: torch.device
    process_group: ProcessGroup
    profile: NoProfile
    sealed: bool
    graphs: bool = False

    def __post_init__(self) -> None:
        config, process_group = self.config, self.process_group
        self._step_settings = StepSettings(
            config.global_batch_size,
            config.grad_clip,
            config.micro_batch_size,
            process_group=process_group,
            enter_phase=self.profile.enter,
            read_later=computes_apart(self.device),
            on_skip=self._skipped,
            keep_gradients=self.graphs,
        )
        self._transfer = BatchTransfer(self.state, self.device, config.micro_batch_size)
        self._saver = CheckpointSaver(
            config,
            self.store,
            self.state,
            self.recorders,
            self.observer,
            self.device,
            self.process_group,
            settle=self._settle,
        )
        self._log_interval = log_interval(config.log_interval, self.device)
        self._logged_at = time.monotonic()
        self._usage = Usage(self.device)

    def run(self, stop: StopRequest, *, last_step: int | None = None) -> ExitCode:
        """Execute the plan; returns DONE, or the exit code of the signal that ended the run after a saved checkpoint.

        last_step ends the run early, saved, with the schedule unchanged. Raises DatasetError, after a saved checkpoint
        as well, when the data of the next step cannot be had, and TrmError when the last checkpoint cannot be written.
        """
        end = min(self.plan.total_steps, last_step or self.plan.total_steps)
        agreed = StopAgreement(stop, self.process_group, lambda: self._saver.is_due)
        self._sum_gradients(agreed)
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

    def _sum_gradients(self, requests: StopAgreement) -> None:
        """Let the updates that follow sum the gradients of all processes, and exchange requests with them."""
        if self.process_group.count > 1:
            parameters, table = self.state.trunk_parameters(), self.state.table
            sums = GradientSum(parameters, table, self.process_group, requests, keep=self.graphs)
            self._step_settings = self._step_settings._replace(gradient_sum=sums)

    def _execute(self, pool: ThreadPoolExecutor, end: int, stop: StopAgreement) -> None:
        if not self.sealed:
            self._saver.save()  # at once: what is read of a run is what was saved with its weights
        stop.poll()
        self._finish_step(stop)  # an evaluation that the last process could not complete
        first = self.state.step + 1
        following = pool.submit(self.train_batch, first) if first <= end else None
        while following is not None and not stop:
            step = self.state.step + 1
            self.profile.begin(step)
            self.profile.enter("data")
            arrays = self._batch(following, stop)
            # The next batch is drawn while this one is computed; it depends on its number alone.
            following = pool.submit(self.train_batch, step + 1) if step < end else None
            self._update(step, arrays)
            self.profile.end(step)
            if step == first:
                self._saver.check_disk_space()
                self._tell_memory()
            self._finish_step(stop)

    def _batch(self, following: Future[Batch], stop: StopAgreement) -> Batch:
        """Wait for the next batch; a checkpoint that is requested meanwhile is saved."""
        while not wait((following,), timeout=_POLL_SECONDS).done:
            if stop.save_wanted:
                self._saver.save_wanted(stop)
        return following.result()

    def _update(self, step: int, arrays: Batch) -> None:
        clock = self.plan.values_at(step)
        sent = self._transfer.send(arrays, self._draws(step), clock)
        update(self.state, sent.batch, sent.draws, clock, self._step_settings, sent.clock, sent.layouts)
        self.profile.enter("")
        self.state.step = step
        if step % self._log_interval == 0 or step in (1, self.plan.total_steps):
            self._log(step)
        else:
            self.observer.stepped(step, None, None)

    def _tell_memory(self) -> None:
        """Say what the first update of this start has really taken, where a device knows: the estimate is one."""
        measured = measured_memory(self.device)
        if measured is None or not self.process_group.first:
            return
        own = self.config.global_batch_size // self.process_group.count
        rows = min(own, self.config.micro_batch_size or own)
        gradients = sum(weight.nbytes for weight in local_tensors(self.state.trunk_parameters()))
        fit = measured.rows_that_fit(rows, gradients)
        self.observer.note(
            f"memory, measured: an update of {rows} rows at once takes {memory_size(measured.taken)} at most, "
            f"{memory_size(measured.reserved)} of {memory_size(measured.total)} are reserved; {fit:,} rows would fit"
        )

    def _settle(self) -> None:
        """Read the check of the last update, before the state is used otherwise than by the next one."""
        settle(self.state, self._step_settings)

    def _skipped(self, skipped: Skipped) -> None:
        """Note a skipped update. Raises TrmError after too many in a row."""
        self.observer.note(f"update {skipped.step:,} skipped: {skipped.reason}")
        if skipped.fault and self.state.skipped_in_a_row >= self.config.nonfinite_limit:
            values, kept_in = self.plan.record_at(skipped.step), self.store.directory
            raise give_up(self.state, skipped, values, kept_in, self.process_group)

    def _draws(self, step: int) -> np.ndarray:
        """All randomness of this process's rows [b, K]."""
        total = self.config.global_batch_size
        rows, columns = self.process_group.rows(total), self.state.model.draws_per_row
        return draws_of_rows(self.config.seed, step, rows, total, columns)

    def _log(self, step: int) -> None:
        batch_size = self.config.global_batch_size
        averaged = drain(self.state, batch_size, self.process_group)
        record = {"kind": "train", "step": step, **averaged.means, **self.plan.record_at(step)}
        now = time.monotonic()
        speed = averaged.updates * batch_size / max(now - self._logged_at, 1e-9)
        self._logged_at = now
        shares = self.profile.shares()
        timing = {"samples_per_second": round(speed, 3), **self._usage.lap(), **shares}
        self.recorders.write(record, timing, samples_per_second=speed, **shares)
        self.observer.stepped(step, record, speed)
        _log.debug("%s", record)

    def _finish_step(self, stop: StopAgreement) -> None:
        """Evaluate and save where the plan says so for the state's step (and, between, where time says so)."""
        step = self.state.step
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
        self._settle()

        def between_batches(rows: int) -> bool:
            self.observer.evaluating(rows)
            stop.poll()
            # What is saved already is no reason to begin again: signals that keep coming would never let it end.
            return bool(stop) or (stop.save_wanted and not self._saver.is_saved)

        model, ema = self.state.model, self.state.ema
        averaged = nullcontext() if ema is None else ema.swapped()
        with averaged, gathered(model, sharded=self.state.sharded):
            result = evaluate(
                model,
                self._eval_batches(self.test),
                self.device,
                micro_batch_size=self.config.micro_batch_size,
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
        timing = {"evaluation_seconds": round(time.monotonic() - started, 3), **self._usage.lap()}
        self.recorders.write(record, timing)
        self.observer.evaluated(step, result, best)
        self._logged_at += time.monotonic() - started  # an evaluation is not training time

    def _eval_batches(self, test: Data) -> Iterator[Batch]:
        """This process's rows of each evaluation batch: as many batches in every process."""
        size = self.eval_batch_size
        count = test.eval_count(size)
        for index in range(min(count, self.config.eval_batches or count)):
            yield test.eval_batch(index, size, self.process_group.rows(size))


def log_interval(wanted: int | str, device: torch.device) -> int:
    """How many updates a record stands for. `auto`: one, where reading it costs nothing, else ten."""
    if isinstance(wanted, int):
        return wanted
    return _LOGGED_TOGETHER if computes_apart(device) else 1


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
