"""What is printed before a run starts: its command line, its plan, and where it computes and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from trm_cli.console.output import stderr
from trm_cli.console.views.plan import PlanView
from trm_cli.units import duration, memory_size

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.schedule.plan import TrainingPlan
    from trm_cli.training.hardware.machine import Machine
    from trm_cli.training.memory.preflight import Preflight
    from trm_cli.training.run.config_drift import Difference
    from trm_cli.workflows.cpu_cost import Cost


def show_plan(resolved: Resolved, plan: TrainingPlan) -> None:
    """Print the command that repeats this run, and its plan."""
    from trm_cli.config.dump import describe_command

    console = stderr()
    console.print(describe_command(resolved), markup=False, soft_wrap=True)
    console.print()
    config = resolved.config
    console.print(PlanView(plan, title=f"{config.model}, architecture {config.arch.name}", sources=resolved.sources))
    console.print()


def show_data_notes(notes: Sequence[str]) -> None:
    """Print what a person should know about the data before paying for a run on it."""
    for text in notes:
        stderr().print(Text.assemble(("data       ", ""), (text, "yellow")), soft_wrap=True)


def show_cost(cost: Cost) -> None:
    """Print what a run would take at the least on this machine's processor."""
    per_update, all_updates = duration(cost.seconds_per_update), duration(cost.seconds)
    if cost.seconds_per_update < 10:
        per_update = f"{cost.seconds_per_update:.2g} s"
    table = Table.grid(padding=(0, 2))
    table.add_row("cost  ", f"at least {per_update} an update, {all_updates} for {cost.updates:,}")
    rate = f"this processor reaches {cost.rate / 1e9:.0f} billion a second now"
    table.add_row("", Text(f"{cost.operations:.1e} operations an update; {rate}", style="dim"))
    stderr().print(table)


def show_memory(preflight: Preflight) -> None:
    """Print what an update takes of the device's memory, part by part, and what is free."""
    needed, free = preflight.needed, preflight.free
    line = f"about {memory_size(needed.total)}" + ("" if free is None else f" of {memory_size(free)} that are free")
    parts = [f"{name} {memory_size(size)}" for name, size in needed.parts.items() if size >= needed.total / 100]
    table = Table.grid(padding=(0, 2))
    table.add_row("memory", Text(line, style="red" if not preflight.fits else "yellow" if preflight.tight else ""))
    table.add_row("", Text(", ".join(parts), style="dim"))
    if not preflight.fits:
        table.add_row("", Text(f"too much: {preflight.advice()}", style="red"))
    elif preflight.tight:
        table.add_row("", Text("little is left for anything else on this device", style="yellow"))
    stderr().print(table)


def show_choices(machine: Machine, *, processes: int = 1) -> None:
    """Print where the run computes, and why."""
    table = Table.grid(padding=(0, 2))
    if processes > 1:
        table.add_row("processes", str(processes), Text("each computes its rows of every batch", style="dim"))
    names = ("device", "precision", "tf32", "compile", "threads")
    for name in names if machine.device.value == "cuda" else [name for name in names if name != "tf32"]:
        choice = getattr(machine, name)
        table.add_row(name, choice.value, Text(choice.reason, style="dim"))
    stderr().print(table)


def drift_table(found: Sequence[Difference]) -> str:
    """The differences between two configurations, aligned."""
    rows = [("key", "run", "now", "effect")]
    rows += [(one.key, str(one.before), str(one.now), one.effect) for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )
