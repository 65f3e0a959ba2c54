"""Count how calls of a fuzz end, and what of that is a fault: a traceback, an unknown exit code, a long wait."""

from __future__ import annotations

import signal
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

from trm_cli.errors import ExitCode

#: Of the processor: a busy machine is no fault.
LIMIT_SECONDS = 10.0
#: On the clock, after which a call waits for what never comes.
_GIVEN_UP = 12 * LIMIT_SECONDS
_DOCUMENTED = {int(code) for code in ExitCode}


class _Hang(BaseException):
    """A call was given up."""


@dataclass
class Findings:
    """The ends of all calls, by name and exit code, and the faults among them."""

    ends: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def call(self, name: str, told: str, run: Callable[[], subprocess.CompletedProcess[str]]) -> None:
        """Make one call; told: what was done to provoke it."""
        warnings.simplefilter("ignore")
        before = signal.signal(signal.SIGALRM, _give_up)
        signal.setitimer(signal.ITIMER_REAL, _GIVEN_UP)
        started = time.process_time()
        try:
            done = run()
            code, output = done.returncode, done.stderr
        except _Hang:
            code, output = -2, "given up"
        except Exception as error:  # noqa: BLE001 - whatever is no exit of a command is what is looked for
            code, output = -1, f"Traceback: {type(error).__name__}: {error}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        seconds = time.process_time() - started
        self.slowest = max(self.slowest, seconds)
        self.ends[name, code] += 1
        if code not in _DOCUMENTED or "Traceback" in output or seconds > LIMIT_SECONDS:
            self.faults.append(f"{name}: {told}: exit {code}, {seconds:.1f} s: {output.strip()[-300:]}")
            print(self.faults[-1], flush=True)

    def report(self) -> int:
        """Print the counts; 1 where there was a fault."""
        for (name, code), count in sorted(self.ends.items()):
            print(f"{name:24} exit {code:3}: {count}")
        print(f"{sum(self.ends.values()):,} calls, slowest {self.slowest:.1f} s, {len(self.faults)} faults")
        return 1 if self.faults else 0


def _give_up(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - signature of a signal handler
    raise _Hang
