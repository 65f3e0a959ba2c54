"""The screen of an adaptation: its plan, what the probe measured, and the result; between them a training's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from rich.table import Table

from trm_cli.console.output import note, stderr
from trm_cli.console.progress import EvaluationScreen
from trm_cli.console.tables import counted, facts
from trm_cli.console.views.runs.run import TrainingScreen
from trm_cli.paths import from_here
from trm_cli.units import disk_size, duration
from trm_cli.workflows.adapt.request import AdaptObserver
from trm_cli.workflows.observers import TrainingResult

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.evaluation.scores.intervals import Share
    from trm_cli.schedule.plan import TrainingPlan
    from trm_cli.training.hardware.machine import Machine
    from trm_cli.training.memory.check import MemoryCheck
    from trm_cli.workflows.adapt.budget import Probe
    from trm_cli.workflows.adapt.bundle import Bundle
    from trm_cli.workflows.adapt.request import AdaptPlan

_LISTED = 5


class AdaptScreen(TrainingScreen, AdaptObserver):
    """Shows an adaptation on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self._told = False

    def adapting(self, plan: AdaptPlan) -> None:
        """Print the plan."""
        request, tasks = plan.request, plan.challenges.tasks
        learned, inputs = plan.challenges.usable, sum(len(task.inputs) for task in tasks)
        votes = request.augmentations + 1 if request.votes is None else min(request.votes, request.augmentations + 1)
        rows: list[tuple[str, str]] = [
            ("model", f"{from_here(plan.source)}, step {plan.source_step:,}"),
            ("tasks", f"{counted(len(tasks), 'task')} with {counted(inputs, 'test input')} in {request.tasks}"),
            ("rows", f"{request.augmentations + 1} a task at most, beginning with {_begin(request.rows)}"),
            ("votes", f"{votes} at most for each test input"),
            ("run", f"{plan.run}{', which goes on' if plan.continued else ''}"),
        ]
        if not request.learns:
            rows[2] = ("learning", "none: the demonstrations are read beside each test input")
        elif request.updates is not None:
            rows.insert(3, ("learning", counted(request.updates, "update")))
        else:
            used = f", of which {duration(plan.seconds_used)} are used" if plan.seconds_used else ""
            rows.insert(3, ("budget", f"{duration(request.budget or 0)}{used}"))
        stderr().print(facts(rows))
        damaged = [task for task in tasks if task.faults]
        for task in damaged[:_LISTED]:
            kept = "" if task.usable else "; its attempts stay empty"
            note(f"task {task.name}: {task.faults[0]}{kept}")
        if len(damaged) > _LISTED:
            note(f"and {len(damaged) - _LISTED:,} more damaged tasks")
        if len(learned) < len(tasks):
            note(f"{counted(len(learned), 'task')} of {len(tasks):,} can be learned")

    def planned(self, resolved: Resolved, plan: TrainingPlan) -> None:
        """Print nothing: the plan of the training is an inner matter."""

    def probed(self, probe: Probe, updates: int, train_seconds: float, vote_seconds: float) -> None:
        """Print what was measured, and how the rest of the budget is divided."""
        note(
            f"measured: {probe.update:.3g} s an update, {probe.vote:.3g} s a vote; {duration(train_seconds)} for about "
            f"{counted(updates, 'update')}, {duration(vote_seconds)} for voting"
        )

    def left_out(self, step: int, right: Share) -> None:
        """Print how many of the demonstrations that are not learned are right."""
        note(f"update {step:,}: {right.hits:,.0f} of {counted(right.count, 'left-out demonstration')} right")

    def learned(self, step: int, learned: Sequence[int], tasks: int) -> None:
        """Print how many tasks rest."""
        note(f"update {step:,}: all demonstrations of {len(learned):,} of {counted(tasks, 'task')} right")

    def machine_chosen(self, machine: Machine, processes: int) -> None:
        """Print the machine once: the training is entered anew after each test."""
        if not self._told:
            super().machine_chosen(machine, processes)

    def memory_estimated(self, check: MemoryCheck) -> None:
        """Print the memory once."""
        if not self._told:
            super().memory_estimated(check)
        self._told = True

    def voting(self, rows: int) -> AbstractContextManager[Callable[[int, bool], None]]:
        """Show the progress of the votes."""
        return EvaluationScreen().scoring("voting", rows)

    def ended(self, result: TrainingResult) -> None:
        """Print nothing: the result of the whole follows."""


def adapt_screen(document: Mapping[str, Any]) -> Table:
    """The result as a table."""
    scored = document["scores"]
    rows = [
        ("submission", str(document["submission"])),
        ("answered", f"{document['answered']:,} of {counted(document['test_inputs'], 'test input')}"),
        ("learned", f"{counted(document['updates'], 'update')}, from step {document['source']['step']:,}"),
        ("votes", f"{document['votes']:,}{'' if document['all_votes'] else ', not all'}"),
        ("time", duration(document["seconds"])),
    ]
    if scored is not None:
        share = f"pass@1 {scored['pass_1']:.1%}, pass@2 {scored['pass_2']:.1%}"
        rows.insert(2, ("right", f"{share} of {counted(scored['tasks'], 'task')} with known outputs"))
    return facts(rows)


def bundle_screen(bundle: Bundle) -> Table:
    """What lies in a bundle."""
    return facts(
        [
            ("bundle", f"{bundle.folder}, {disk_size(bundle.bytes)}"),
            ("program", bundle.wheel),
            ("weights", f"weights.safetensors, step {bundle.step:,}"),
            ("packages", bundle.problem or f"{counted(len(bundle.wheels), 'wheel')} in wheels/"),
            ("notebook", "notebook.ipynb installs from this folder and adapts to arc-agi_test_challenges.json"),
        ]
    )


def _begin(rows: str) -> str:
    return "zeros" if rows == "zero" else "the mean of the known ones"
