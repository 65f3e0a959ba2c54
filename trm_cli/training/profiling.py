"""Profile updates: the share of time of each phase, and a trace of a few updates by torch.profiler.

On CUDA a phase begins and ends with an event that the device records when it gets there, read where a record is logged
and the device has caught up anyway: nothing waits for it but the profiled updates.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from trm_cli.training.run_files import PROFILE_OPERATORS, PROFILE_TRACE

PHASES = ("data", "forward", "backward", "optimizer")

#: Updates of a start that pass before the trace (allocation, compilation), and how many it holds.
_WARM_UP = 2
_TRACED = 5
_ROWS = 40


class NoProfile:
    """Profiler that measures nothing, where `profile` is off."""

    def enter(self, phase: str) -> None:
        """Begin `phase`, one of PHASES or "" for none of them."""

    def begin(self, step: int) -> None:
        """Begin update `step`."""

    def end(self, step: int) -> None:
        """End update `step`."""

    def shares(self) -> dict[str, float]:
        """The share of each phase since the last call; empty where nothing was measured."""
        return {}

    def close(self) -> None:
        """The run ends."""


class Profile(NoProfile):
    """Measures every update since the process has started, and traces updates 3 to 7 of them into `directory`."""

    def __init__(
        self, directory: Path, device: torch.device, *, first_step: int, notify: Callable[[str], None]
    ) -> None:
        """first_step: the first update of this start. notify: receives a message on where the trace is, or why there is
        none.
        """
        self._directory = directory
        self._on_cuda = device.type == "cuda"
        self._first = first_step + _WARM_UP
        self._last = self._first + _TRACED - 1
        self._notify = notify
        self._profiler: torch.profiler.profile | None = None
        self._phase = ""
        self._label = ExitStack()
        self._began: Any = None
        self._spans: list[tuple[str, Any, Any]] = []
        #: The last update that the trace holds whole.
        self._done = 0
        self._since_record = dict.fromkeys(PHASES, 0.0)
        self._since_trace = dict.fromkeys(PHASES, 0.0)

    def enter(self, phase: str) -> None:
        """End the present phase and begin `phase`."""
        now: float | torch.cuda.Event = time.perf_counter()
        if self._on_cuda:
            now = torch.cuda.Event(enable_timing=True)
            now.record()
        if self._phase:
            self._spans.append((self._phase, self._began, now))
        self._label.close()
        if phase and self._profiler is not None:
            self._label.enter_context(torch.profiler.record_function(phase))
        self._phase, self._began = phase, now

    def begin(self, step: int) -> None:
        """Start the trace before its first update."""
        if step != self._first:
            return
        self._collect()
        self._since_trace = dict.fromkeys(PHASES, 0.0)
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self._on_cuda:
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its lines would go across the panel
        self._profiler = torch.profiler.profile(activities=activities)
        self._profiler.start()

    def end(self, step: int) -> None:
        """Write the trace after its last update."""
        self._done = step
        if self._profiler is not None and step == self._last:
            self._write(self._profiler)

    def shares(self) -> dict[str, float]:
        """Data, forward, backward and optimizer, adding up to 1: `data_share` and so on. Waits for the device."""
        self._collect()
        shares = _shares(self._since_record)
        self._since_record = dict.fromkeys(PHASES, 0.0)
        return {f"{phase}_share": round(share, 4) for phase, share in shares.items()}

    def close(self) -> None:
        """Write what there is of a trace where the run ends before its last update."""
        if self._profiler is not None:
            self._write(self._profiler)
        elif self._done < self._first:
            self._notify(f"no profile was written: its trace would begin at update {self._first:,}")

    def _write(self, profiler: torch.profiler.profile) -> None:
        self.enter("")
        self._profiler = None
        try:
            profiler.stop()
            self._collect()
            shares = ", ".join(f"{phase} {share:.0%}" for phase, share in _shares(self._since_trace).items())
            self._directory.mkdir(parents=True, exist_ok=True)
            by = "self_cuda_time_total" if self._on_cuda else "self_cpu_time_total"
            table = profiler.key_averages().table(sort_by=by, row_limit=_ROWS)
            updates = f"updates {self._first:,} to {self._done:,}"
            (self._directory / PROFILE_OPERATORS).write_text(f"{updates}: {shares}\n\n{table}\n", encoding="utf-8")
            profiler.export_chrome_trace(str(self._directory / PROFILE_TRACE))
        except (OSError, RuntimeError) as error:  # a run is worth more than its trace
            self._notify(f"no profile was written: {error}")
            return
        self._notify(f"profile of {updates}: {shares}; trace in {self._directory / PROFILE_TRACE}")

    def _collect(self) -> None:
        """Convert the recorded times into seconds."""
        for phase, began, ended in self._spans:
            if self._on_cuda:
                ended.synchronize()
            seconds = began.elapsed_time(ended) / 1e3 if self._on_cuda else ended - began
            self._since_record[phase] += seconds
            self._since_trace[phase] += seconds
        self._spans.clear()


def _shares(seconds: dict[str, float]) -> dict[str, float]:
    """Divide each value by the total; empty where the total is zero."""
    whole = sum(seconds.values())
    return {name: value / whole for name, value in seconds.items()} if whole else {}
