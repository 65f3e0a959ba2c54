"""What the user and the clock ask for, agreed on: all processes stop or save after the same step, or none does."""

from __future__ import annotations

from trm_cli.errors import ExitCode
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.signals import StopRequest

_CODES = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)


class Agreement:
    """A stop request that is true only once all processes know of it; `poll` is where they tell each other.

    A process that is alone has nobody to ask, and knows at any time.
    """

    def __init__(self, stop: StopRequest, process_group: ProcessGroup) -> None:
        self._stop = stop
        self._peers = process_group
        self._agreed: ExitCode | None = None
        self._save = False
        #: Whether a process owed a checkpoint at the last poll.
        self.due = False

    @property
    def exit_code(self) -> ExitCode | None:
        """With which status the run should end, once it should."""
        return self._stop.exit_code if self._peers.count == 1 else self._agreed

    @property
    def save_wanted(self) -> bool:
        """Whether a checkpoint is wanted now; whoever has tried to write it sets this back."""
        return self._stop.save_wanted if self._peers.count == 1 else self._save

    @save_wanted.setter
    def save_wanted(self, wanted: bool) -> None:
        self._stop.save_wanted = self._save = wanted

    def __bool__(self) -> bool:
        """True once the run should save and stop."""
        return self.exit_code is not None

    def poll(self, *, due: bool = False) -> None:
        """Called by all processes at the same place: what any of them was asked for, all of them know then."""
        flags = [self._stop.exit_code is code for code in _CODES]
        *asked, save, due = self._peers.largest([*flags, self._stop.save_wanted, due])  # type: ignore[assignment]
        self._save, self.due = bool(save), bool(due)
        if self._agreed is None and any(asked):
            self._agreed = _CODES[asked.index(1)]
