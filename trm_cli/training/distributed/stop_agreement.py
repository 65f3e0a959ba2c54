"""Agree on requests to stop or save: all processes do it after the same step, or none does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trm_cli.errors import ExitCode
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.signals import StopRequest

_CODES = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)


class StopAgreement:
    """A stop request that is true only once all processes know of it.

    They exchange requests with the gradients of each update (`local_flags`, `apply_max`), and elsewhere in `poll`. In a
    run of one process every request counts at once.
    """

    def __init__(
        self, stop: StopRequest, process_group: ProcessGroup, is_due: Callable[[], bool] = lambda: False
    ) -> None:
        """is_due: whether this process owes a checkpoint by its clock, or because the last one failed."""
        self._stop = stop
        self._process_group = process_group
        self._is_due = is_due
        self._agreed: ExitCode | None = None
        self._save = self._due = False

    @property
    def exit_code(self) -> ExitCode | None:
        """The exit code of the run, once it should end; None before."""
        return self._stop.exit_code if self._process_group.count == 1 else self._agreed

    @property
    def save_wanted(self) -> bool:
        """Whether a checkpoint is requested; reset after the attempt to write it."""
        return self._stop.save_wanted if self._process_group.count == 1 else self._save

    @save_wanted.setter
    def save_wanted(self, wanted: bool) -> None:
        self._stop.save_wanted = self._save = wanted

    @property
    def due(self) -> bool:
        """Whether some process owes a checkpoint."""
        return self._is_due() if self._process_group.count == 1 else self._due

    def __bool__(self) -> bool:
        """True once the run should save and stop."""
        return self.exit_code is not None

    def local_flags(self) -> list[int]:
        """Requests to this process, as flags: to be interrupted, to end, to save, and that it owes a checkpoint."""
        codes = (self._stop.exit_code is code for code in _CODES)
        return [int(flag) for flag in (*codes, self._stop.save_wanted, self._is_due())]

    def apply_max(self, flags: Sequence[int]) -> None:
        """Take the requests to any process; called by all processes at the same place."""
        *codes, save, due = flags
        self._save, self._due = bool(save), bool(due)
        if self._agreed is None and any(codes):
            self._agreed = _CODES[codes.index(1)]

    def poll(self) -> None:
        """Exchange requests outside of updates; called by all processes at the same place."""
        self.apply_max(self._process_group.largest(self.local_flags()))
