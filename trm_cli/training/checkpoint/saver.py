"""When a run writes its checkpoint, and what happens when the disk does not take it."""

from __future__ import annotations

import time
from typing import Any

import torch

from trm_cli.errors import TrmError
from trm_cli.training.checkpoint.disk_space import disk_space_warning
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.distributed.shard_saving import in_first, save_in_parts
from trm_cli.training.distributed.stop_agreement import Agreement
from trm_cli.training.distributed.whole_state import gather_state
from trm_cli.training.hardware.devices import synchronise
from trm_cli.training.recording.observer import Observer
from trm_cli.training.recording.recorders import RunRecorders
from trm_cli.training.state import TrainingState


class Saver:
    """Writes the checkpoints of one run, and knows what is durable already.

    seconds: save at least this often by the clock; None: never by the clock.
    """

    def __init__(
        self,
        *,
        store: CheckpointStore,
        state: TrainingState,
        recorders: RunRecorders,
        observer: Observer,
        device: torch.device,
        with_carry: bool,
        seconds: float | None,
        process_group: ProcessGroup,
    ) -> None:
        self.store = store
        self.state = state
        self.recorders = recorders
        self.observer = observer
        self.device = device
        self.with_carry = with_carry
        self.seconds = seconds
        self.process_group = process_group
        #: (step, evaluated_step) of the newest checkpoint: an evaluation changes what there is to save as well.
        self._saved = (state.step, state.evaluated_step)
        self._saved_at = time.monotonic()
        self._failures = 0
        #: The best step so far could not be written; the next checkpoint takes its name.
        self._best_owed = False

    @property
    def is_saved(self) -> bool:
        """Whether the newest checkpoint holds the present state."""
        return self._saved == (self.state.step, self.state.evaluated_step)

    @property
    def is_due(self) -> bool:
        """Whether a checkpoint is owed besides the planned ones: by the clock, or because the last one failed."""
        overdue = self.seconds is not None and time.monotonic() - self._saved_at > self.seconds
        return overdue or self._failures > 0

    def save(self) -> None:
        """Write a checkpoint and delete what need not be kept. A disk that fails is told once; the run goes on.

        All processes call it; the first one writes what all of them have, of a sharded run each its part.
        """
        started = time.monotonic()
        synchronise(self.device)
        step = self.state.step
        best_step = self.state.best_step
        best = self._best_owed or best_step == step
        problem = self._write(step, best=best)
        if problem is not None:
            self._best_owed = best
            # The run is worth more than one file: older checkpoints stand, and the next step tries again.
            if self._failures == 0:
                self.observer.note(f"the checkpoint of step {step:,} is not written ({problem}); each step tries again")
            self._failures += 1
            return
        if self._failures:
            self.observer.note(f"the checkpoint of step {step:,} is written, after {self._failures:,} failed attempts")
        if best and best_step != step:
            self.observer.note(f"best.pt is step {step:,}: step {best_step:,}, the best one, could not be written")
        self._failures, self._best_owed = 0, False
        self._saved = (step, self.state.evaluated_step)
        self._saved_at = time.monotonic()
        self.observer.saved(step, self.store.path(step), self._saved_at - started)
        if self.process_group.first:
            self._prune()

    def _write(self, step: int, *, best: bool) -> str | None:
        """Commit a checkpoint, together with the others; returns why that failed."""
        summary, state = self.recorders.summary, self._state_dict()
        # First of all: a checkpoint must never be newer than the metrics that it stands on.
        sync = self.recorders.metrics.sync
        try:
            if self.state.sharded:
                save_in_parts(self.store, step, state, summary, best=best, process_group=self.process_group, sync=sync)
            else:
                whole = gather_state(state, self.process_group)
                in_first(lambda: (sync(), self.store.save(step, whole, summary, best=best)), self.process_group)
        except OSError as error:
            return str(error.strerror or error)
        return None

    def _prune(self) -> None:
        try:
            self.store.prune()
        except OSError as error:
            self.observer.note(f"an old checkpoint could not be deleted ({error.strerror or error})")

    def save_wanted(self, stop: Agreement) -> None:
        """Do what SIGUSR1 asks for."""
        stop.save_wanted = False
        if self.is_saved:
            self.observer.note(f"step {self.state.step:,} is saved already")
        else:
            self.save()

    def save_last(self) -> None:
        """Write what is not saved yet at the end of a run. Raises TrmError when that fails: this step has no next."""
        if self.is_saved:
            return
        self.save()
        if not self.is_saved:
            raise TrmError(
                f"the checkpoint of step {self.state.step:,} cannot be written, and the run ends here",
                hint=f"free some room on the disk; `trm resume` then goes on after step {self._saved[0]:,}",
            )

    def check_room(self) -> None:
        """Say so where the disk will not hold what the run keeps; asked when the state is first complete."""
        if not self.process_group.first:
            return
        # What is kept, the best one, and the one that is being written before an old one goes.
        warning = disk_space_warning(self.store.directory, self._state_dict(), files=self.store.keep + 2)
        if warning is not None:
            self.observer.note(warning)

    def _state_dict(self) -> dict[str, Any]:
        return self.state.state_dict(with_carry=self.with_carry)
