"""A queue of commands on this machine: some at a time, their lines named, one exit status for all."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from trm_cli.ending_signals import die_with_parent, ending_signals, handled
from trm_cli.errors import ExitCode

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Job:
    """A run of the queue. name: what precedes its lines. command: what trains it, or continues it."""

    name: str
    path: Path
    command: Sequence[str]


class Queue:
    """The jobs that wait, in order. A subclass chooses them as others end, or stops some early."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = list(jobs)

    def following(self, running: Sequence[Job]) -> Job | None:
        """The next job; None while it has to wait for one of those that run, and when there is none."""
        del running
        return self._waiting.pop(0) if self._waiting else None

    def is_enough(self, job: Job) -> bool:
        """Whether a running job is to be ended, since it promises too little."""
        del job
        return False

    def ended(self, job: Job, code: int) -> int:
        """A job has ended; returns its exit code as it counts for all."""
        del job
        return code


def run_jobs(queue: Queue, at_once: int, on_start: Callable[[Job], None], on_line: Callable[[str], None] | None) -> int:
    """Run jobs, `at_once` at a time, and return one exit status for all.

    A job that fails does not stop the others. A signal to end is passed on, and no further job is started. on_line
    receives each line of a job with its name; None: jobs write to this process's own streams.
    """
    active, codes = list[_Child](), list[int]()
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        for child in active:
            child.process.send_signal(number)

    def start() -> bool:
        """Start a job where one is free to run."""
        if len(active) >= at_once or received:
            return False
        job = queue.following([child.job for child in active])
        if job is not None:
            on_start(job)
            active.append(_Child(job, on_line))
        return job is not None

    with handled(forward, signal.SIGINT, *ending_signals()):
        try:
            while start() or active:
                for child in [child for child in active if child.process.poll() is not None]:
                    active.remove(child)
                    code = child.ended()
                    codes.append(code if received else queue.ended(child.job, code))
                for child in active:
                    child.end_if(queue.is_enough)
                time.sleep(_POLL_SECONDS)
        finally:
            for child in active:
                child.process.kill()
                child.ended()
    failed = [code if code > 0 else 128 - code for code in codes if code]
    if received:
        return next((code for code in failed if code in (ExitCode.TERMINATED, ExitCode.INTERRUPTED)), 128 + received[0])
    return failed[0] if failed else ExitCode.DONE


class _Child:
    """The process of a job, in a session of its own: Ctrl-C reaches it exactly once, through us."""

    def __init__(self, job: Job, on_line: Callable[[str], None] | None) -> None:
        pipe = None if on_line is None else subprocess.PIPE
        self.job = job
        self.process = subprocess.Popen(
            job.command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=None if pipe is None else subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
        self._told = False
        self._reader = threading.Thread(target=self._pass_on, args=(job.name, on_line), daemon=True)
        self._reader.start()

    def end_if(self, is_enough: Callable[[Job], bool]) -> None:
        """Ask it once to save and to end, where that is wanted."""
        if not self._told and is_enough(self.job):
            self._told = True
            self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Its exit code, once it has ended and all its lines are passed on."""
        code = self.process.wait()
        self._reader.join()
        return code

    def _pass_on(self, name: str, on_line: Callable[[str], None] | None) -> None:
        if self.process.stdout is None or on_line is None:
            return
        with self.process.stdout as lines:
            for line in lines:
                if line.strip():
                    on_line(f"{name}: {line.rstrip()}")
