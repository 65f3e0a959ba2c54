"""Agree on requests to stop or save: all processes do it after the same step, or none does."""

from __future__ import annotations

from trm_cli.errors import ExitCode
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.signals import StopRequest

_CODES = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)


class StopAgreement:
    """A stop request that is true only once all processes know of it; they exchange requests in `poll`.

    In a run of one process every request counts at once.
    """

    def __init__(self, stop: StopRequest, process_group: ProcessGroup) -> None:
        self._stop = stop
        self._process_group = process_group
        self._agreed: ExitCode | None = None
        self._save = False
        #: Whether a checkpoint of some process was due at the last poll.
        self.due = False

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

    def __bool__(self) -> bool:
        """True once the run should save and stop."""
        return self.exit_code is not None

    def poll(self, *, due: bool = False) -> None:
        """Exchange requests; called by all processes at the same place."""
        flags = [self._stop.exit_code is code for code in _CODES]
        *asked, save, due = self._process_group.largest([*flags, self._stop.save_wanted, due])  # type: ignore[assignment]
        self._save, self.due = bool(save), bool(due)
        if self._agreed is None and any(asked):
            self._agreed = _CODES[asked.index(1)]
