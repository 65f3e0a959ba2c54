"""The screen of a training run: command line, plan, device and memory; then the loop, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from trm_cli.config.dump import describe_command
from trm_cli.console.output import note, silence, stderr, stdout
from trm_cli.console.views.build import BuildScreen
from trm_cli.console.views.runs.forecast import forecast_table
from trm_cli.console.views.runs.plan import PlanView
from trm_cli.console.views.runs.training import TrainingView
from trm_cli.shell import command_line
from trm_cli.units import duration, memory_size
from trm_cli.workflows.observers import Outcome, TrainingObserver, TrainingResult, TrainingStart

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.data.building.builder_process import BuildProgress
    from trm_cli.schedule.plan import TrainingPlan
    from trm_cli.training.forecast.forecast import Forecast
    from trm_cli.training.hardware.machine import Machine
    from trm_cli.training.memory.check import MemoryCheck
    from trm_cli.training.run.initial_state import Start

_LARGE = 20_000_000  # parameters whose updates nobody waits for on a processor
_DRY_RUN = {
    Outcome.PLANNED: "dry run: nothing was written",
    Outcome.PLANNED_WITHOUT_DATASET: (
        "dry run: the dataset would be built first, or beside the training where it is a stream; nothing was written"
    ),
}


class TrainingScreen(BuildScreen, TrainingObserver):
    """Shows a training on stderr, its end and a dry run on stdout.

    run, options: for the printed command, the run that is resumed, and typed options.
    """

    def __init__(self, run: str | None = None, options: Sequence[str] = (), *, dry_run: bool = False) -> None:
        self._describe = partial(describe_command, run=run, options=options)
        self._started = time.monotonic()
        self._command = ""
        self._console = stdout() if dry_run else stderr()  # what a dry run finds is its result

    def silence(self, wanted: bool) -> None:
        """Mute or unmute both streams of this process."""
        silence(wanted)

    def note(self, message: str) -> None:
        """Print a message for the user."""
        note(message)

    def deleted(self, run: Path, files: int) -> None:
        """Print what `--fresh` has deleted."""
        note(f"--fresh: deleted {files} files of the run in {run}")

    def announce(self, resolved: Resolved) -> None:
        """Print the command that repeats this run; at once, since loading torch takes seconds."""
        self._command = self._describe(resolved)
        stderr().print(self._command, soft_wrap=True)

    def planned(self, resolved: Resolved, plan: TrainingPlan) -> None:
        """Print the plan."""
        console, config = self._console, resolved.config
        console.print()
        if resolved.registry is not None:
            console.print(Text(resolved.registry.title, style="bold"))
        title = f"{config.model}, architecture {config.arch.name}"
        console.print(PlanView(plan, title=title, sources=resolved.sources))
        console.print()

    def data_notes(self, notes: Sequence[str]) -> None:
        """Print remarks on the training data."""
        for text in notes:
            self._console.print(Text.assemble(("data       ", ""), (text, "yellow")), soft_wrap=True)

    def machine_chosen(self, machine: Machine, processes: int) -> None:
        """Print device, precision, compilation and threads, each with its reason."""
        table = Table.grid(padding=(0, 2))
        if processes > 1:
            table.add_row("processes", str(processes), Text("each computes its share of every batch", style="dim"))
        names = ("device", "precision", "tf32", "compile", "threads")
        for name in names if machine.device.value == "cuda" else [name for name in names if name != "tf32"]:
            choice = getattr(machine, name)
            table.add_row(name, choice.value, Text(choice.reason, style="dim"))
        self._console.print(table)

    def memory_estimated(self, check: MemoryCheck) -> None:
        """Print the estimated memory of a run, part by part, and what is free."""
        needed = check.needed
        free = "unknown" if check.free is None else memory_size(check.free)
        parts = [f"{name} {memory_size(size)}" for name, size in asdict(needed).items() if size >= needed.total / 100]
        table = Table.grid(padding=(0, 2))
        style = "red" if check.hopeless else "yellow" if check.tight else ""
        table.add_row("memory", Text(f"needs {memory_size(needed.total)} ({free} free)", style=style))
        table.add_row("", Text(f"estimated: {', '.join(parts)}", style="dim"))
        if check.hopeless:
            table.add_row("", Text(f"does not fit: {check.advice()}", style="red"))
        elif check.tight:
            table.add_row("", Text(f"may not fit: {check.advice()}", style="yellow"))
        parameters = check.model.trunk // 4
        if check.device == "cpu" and parameters > _LARGE:
            slow = f"warning: {parameters / 1e6:.0f} M parameters are too slow to train on a processor"
            table.add_row("", Text(f"{slow}: use a GPU, or the model that `trm doctor` recommends", style="yellow"))
        self._console.print(table)

    def foreseen(self, forecast: Forecast) -> None:
        """Print the forecast."""
        self._console.print(forecast_table(forecast))

    def discarding(self, run: Path, from_step: int, newer: Sequence[int]) -> None:
        """Print which checkpoints are set aside."""
        from trm_cli.training.run_files import DISCARDED

        listed = ", ".join(f"{step:,}" for step in newer)
        note(f"--from {from_step}: moving the checkpoints of steps {listed} to {run / DISCARDED}")

    def would_start(self, start: Start, plan: TrainingPlan) -> None:
        """Print where a dry run would start or continue."""
        word = "continue" if start.step else "start"
        file = "" if start.file is None else f", from {start.file}"
        nothing = ": it is complete" if start.step >= plan.total_steps else ""
        self._console.print(f"would {word} at step {start.step:,} of {plan.total_steps:,}{file}{nothing}")

    def continuing(self, run: Path, step: int) -> None:
        """Print where the run continues."""
        note(f"continuing {run} after step {step:,}")

    def training(self, start: TrainingStart) -> TrainingView:
        """Return the view of the training loop."""
        return TrainingView(
            title=f"{start.model}  {start.architecture}  {start.device} {start.precision}",
            total_steps=start.last_step,
            planned_steps=start.plan.total_steps,
            compiles=start.compiles,
            first_step=start.first_step,
            scheduled=list(start.plan.record_at(0)),
            data=lambda: _build_line(start.build),
        )

    def ended(self, result: TrainingResult) -> None:
        """Print how it ended, and the next command."""
        for line in _closing_lines(result, time.monotonic() - self._started):
            stdout().print(line, soft_wrap=True)
        if result.outcome in _DRY_RUN:
            note(f"Next: {self._command.removeprefix('Command: ')}")

    def dataset_ready(self, resolved: Resolved) -> None:
        """Print that the dataset is complete, and the command that trains on it."""
        paths = ", ".join(resolved.config.data_paths)
        train = self._describe(resolved).removeprefix("Command: ")
        stdout().print(f"{paths}: complete after {duration(time.monotonic() - self._started)}", soft_wrap=True)
        stdout().print(f"Next: {train}", soft_wrap=True)


def _build_line(progress: Callable[[], BuildProgress | None]) -> str:
    """The progress of a background build; "" where there is none."""
    now = progress()
    if now is None:
        return ""
    total = max(1, now.total)
    return f"dataset {now.done / total:.0%} built ({now.done:,} of {total:,} {now.unit})"


def _closing_lines(result: TrainingResult, seconds: float) -> list[str]:
    run, step = result.run, f"{result.step:,}"
    resume, evaluate = (command_line("trm", command, run) for command in ("resume", "evaluate"))
    match result.outcome:
        case Outcome.ALREADY_COMPLETE:
            best = f", the best of them {result.best_step:,}" if result.best_step else ""
            beyond = f", beyond the {result.total_steps:,} of this plan" if result.step > result.total_steps else ""
            return [
                f"{run} is complete: {step} steps{best}{beyond}",
                f"Next: {evaluate}, or {resume} --extend-epochs {2 * result.epochs}",
            ]
        case Outcome.FINISHED:
            best = f", the best of them {result.best_step:,}" if result.best_step else ""
            return [f"done: {step} steps{best}, saved in {run} after {duration(seconds)}", f"Next: {evaluate}"]
        case Outcome.STOPPED_AS_ASKED:
            return [f"Stopped at step {step} after {duration(seconds)}, saved in {run}", f"Continue with: {resume}"]
        case Outcome.INTERRUPTED:
            return [f"Stopped after step {step}, everything saved in {run}", f"Continue with: {resume}"]
        case Outcome.INTERRUPTED_BEFORE_A_CHECKPOINT:
            return ["Stopped before the first checkpoint. Run the same command to start again."]
        case Outcome.DATASET_BUILT:
            return []
        case dry_run:
            return [_DRY_RUN[dry_run]]
