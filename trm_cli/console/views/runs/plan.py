"""Show a training plan, or compare two, on the screen and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trm_cli.console.plots import SchedulePlot
from trm_cli.console.tables import GAP, counted, facts, flowing, number, place, table, width_of
from trm_cli.schedule.cadence import Cadence
from trm_cli.schedule.comparison import Side, compare
from trm_cli.schedule.curves import Quantity, Segment
from trm_cli.schedule.plan import TrainingPlan

if TYPE_CHECKING:
    from trm_cli.workflows.planning import Planned

_HEADERS = ("quantity", "curve", "steps", "value", "written as", "from")


@dataclass(frozen=True)
class PlanView:
    """Header, boundaries, evaluations, checkpoints and warnings of a plan; it takes the width that it is given.

    title: what is planned ("sudoku-mini, architecture trm_sudoku"). sources: configuration key -> where its value
    stands ("configs/cfg_pretrain.yaml:12"), as the config loader remembers it.
    """

    plan: TrainingPlan
    title: str
    sources: Mapping[str, str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._header()
        yield ""
        yield self._boundaries(options.max_width)
        yield ""
        yield self._cadences()
        if self.plan.warnings:
            yield ""
            yield warning_lines(self.plan, self.sources)

    def _header(self) -> Table:
        plan = self.plan
        header = facts([("run", self.title.removeprefix("run "))])
        data = Text(f"{number(float(plan.samples_per_epoch))} samples an epoch, batch {plan.global_batch_size:,}")
        if plan.facts.source:
            data.append(f"\n{plan.facts.source}", style="dim")
        header.add_row("data", data)
        header.add_row(
            "steps",
            f"{plan.total_steps:,} updates: {plan.steps_per_epoch:,} an epoch x {counted(plan.epochs, 'epoch')}"
            if plan.step_rounding == "per_epoch"
            else f"{plan.total_steps:,} updates: {number(float(plan.samples_per_epoch))} samples x "
            f"{counted(plan.epochs, 'epoch')} / {plan.global_batch_size:,}",
        )
        other = plan.other_rounding_steps
        percent = 100 * (other - plan.total_steps) / plan.total_steps
        others = "as many" if other == plan.total_steps else f"{other:,} ({percent:+.1f} %)"
        header.add_row("", Text(f"step_rounding {plan.step_rounding}; {plan.other_rounding} gives {others}", "dim"))
        return header

    def _boundaries(self, width: int) -> Table | Group:
        rows = [self._row(quantity, segment) for quantity in self.plan.quantities for segment in quantity.segments]
        shown = _HEADERS if any(row[-1] for row in rows) else _HEADERS[:-1]
        if width_of([shown, *(row[: len(shown)] for row in rows)]) <= width:
            drawn = table(*shown, rows=(row[: len(shown)] for row in rows))
            drawn.columns[-1].style = "dim"
            return drawn
        return Group(*_two_lines_each(rows, width))

    def _row(self, quantity: Quantity, segment: Segment) -> tuple[str, ...]:
        first = segment is quantity.segments[0]
        return (
            quantity.name if first else "",
            _curve(segment),
            steps_of(segment),
            values_of(segment),
            segment.written,
            place(self.sources.get(segment.key, "")),
        )

    def _cadences(self) -> Table:
        plan = self.plan
        without = "none: the dataset has no test split"
        evaluated = without if plan.eval_steps is None else _cadence(plan.eval_steps, plan.eval_interval)
        if plan.checkpoint_steps == plan.eval_steps:
            saved = "after the same steps"
        else:
            saved = _cadence(plan.checkpoint_steps, plan.checkpoint_interval)
        if plan.checkpoint_minutes is not None:
            saved += f"; by the clock, every {plan.checkpoint_minutes:g} minutes"
        cadences = facts([("evaluations", evaluated), ("checkpoints", saved)])
        if plan.milestones is not None:
            cadences.add_row("kept for good", _cadence(plan.milestones, plan.keep_every or 0))
        return cadences


def warning_lines(plan: TrainingPlan, sources: Mapping[str, str]) -> Group:
    """Show each warning on a line, with the place of its key."""
    lines = []
    for remark in plan.warnings:
        style = "bold yellow" if remark.level == "warning" else "bold cyan"
        source = place(sources.get(remark.key, ""))
        where = f" ({source})" if source else ""
        lines.append(Text.assemble((f"{remark.level}: ", style), remark.message.removesuffix("."), where))
    return Group(*lines)


def values_view(plan: TrainingPlan, steps: Sequence[int], width: int) -> Group:
    """Show every scheduled value at some steps, a column for each step, in as many tables as the width needs."""
    columns = [
        (f"{step:,}", f"{100 * step / plan.total_steps:.4g} %", *(number(v) for v in plan.record_at(step).values()))
        for step in steps
    ]
    names = ("step", "of the run", *(quantity.name for quantity in plan.quantities))
    first = max(len(name) for name in names) + GAP
    pages: list[list[tuple[str, ...]]] = [[]]
    used = first
    for column in columns:
        needed = max(len(cell) for cell in column) + GAP
        if pages[-1] and used + needed - GAP > width:
            pages.append([])
            used = first
        pages[-1].append(column)
        used += needed
    tables: list[Table | str] = []
    for page in pages:
        drawn = table(names[0], *(column[0] for column in page), right=range(1, len(page) + 1))
        for row, name in enumerate(names[1:], start=1):
            drawn.add_row(name, *(column[row] for column in page), style="dim" if row == 1 else "")
        tables += [drawn, ""]
    return Group(*tables[:-1])


def comparison_view(left: TrainingPlan, right: TrainingPlan, names: tuple[str, str]) -> Group:
    """Show two plans side by side; differences are marked with `!`."""
    rows = compare(left, right)
    drawn = table("", "", *names)
    last = ""
    for row in rows:
        style = "bold yellow" if row.differs else ""
        shown = row.what if row.what != last else ""
        drawn.add_row("!" if row.differs else "", shown, _side(row.left), _side(row.right), style=style)
        last = row.what
    different = sum(row.differs for row in rows)
    verdict = f"{counted(different, 'difference')}, marked !" if different else "The plans do the same at every step."
    return Group(drawn, Padding(Text(verdict, "bold"), (1, 0, 0, 0)))


def show_planned(
    console: Console, planned: Planned, other: Planned | None, steps: Sequence[int], *, plot: bool
) -> None:
    """Print a plan, or how it differs from another; plot: with its curves; steps: with every value at these."""
    if other is not None:
        console.print(comparison_view(planned.plan, other.plan, (planned.title, other.title)))
    else:
        console.print(PlanView(planned.plan, title=planned.title, sources=planned.sources))
    if plot:
        for each in (planned, *([other] if other else [])):
            console.print()
            if other is not None:
                console.print(f"{each.title}\n", style="bold")
            console.print(SchedulePlot(each.plan.quantities, each.plan.total_steps))
    if steps:
        console.print()
        console.print(values_view(planned.plan, steps, console.width))


def plan_document(planned: Planned, steps: Sequence[int] = ()) -> dict[str, Any]:
    """Describe a plan as plain data: plan.json with its name and the sources of its keys."""
    plan = planned.plan
    used = {segment.key for quantity in plan.quantities for segment in quantity.segments}
    document = plan.to_json() | {
        "name": planned.name,
        "sources": {key: planned.sources[key] for key in sorted(used) if key in planned.sources},
    }
    if steps:
        document["at"] = [{"step": step, "values": plan.record_at(step)} for step in steps]
    return document


def comparison_document(planned: Planned, other: Planned) -> dict[str, Any]:
    """Describe two plans and their differences as plain data."""
    rows = compare(planned.plan, other.plan)
    return {
        "differences": sum(row.differs for row in rows),
        "differ_in": list(dict.fromkeys(row.what for row in rows if row.differs)),
        "plans": [plan_document(planned), plan_document(other)],
    }


def steps_of(segment: Segment) -> str:
    """Format the steps of a segment: "0 - 4,000"."""
    return f"{segment.start_step:,} - {segment.end_step:,}"


def values_of(segment: Segment) -> str:
    """ "0.1 -> 0.001"."""
    if segment.start_value == segment.end_value:
        return number(segment.end_value)
    return f"{number(segment.start_value)} -> {number(segment.end_value)}"


def _curve(segment: Segment) -> str:
    return "constant" if segment.start_value == segment.end_value else segment.curve


def _side(side: Side) -> str:
    if side is None:
        return "-"
    if isinstance(side, Segment):
        return f"{_curve(side)} {values_of(side)}\nover {steps_of(side)}"
    return number(side) if isinstance(side, int | float) else side


def _two_lines_each(rows: Sequence[Sequence[str]], width: int) -> Iterator[Text | Padding]:
    """Show a boundary on two lines for a narrow terminal: its key and place below its steps and values."""
    shown = [_HEADERS[:4], *(row[:4] for row in rows)]
    widths = [max(len(row[column]) for row in shown) + GAP for column in range(4)]
    yield Text("".join(cell.ljust(size) for cell, size in zip(_HEADERS, widths, strict=False)).rstrip(), "bold")
    for row in rows:
        yield Text("".join(cell.ljust(size) for cell, size in zip(row, widths, strict=False)).rstrip())
        written = flowing([Text(part, "dim") for part in row[4:] if part], width - widths[0], gap=" " * GAP)
        yield Padding(written, (0, 0, 0, widths[0]), expand=False)


def _cadence(cadence: Cadence, interval: int) -> str:
    count = len(cadence)
    if count == 1:
        return f"1, after the last step ({cadence.total:,})"
    if count <= 4:
        listed = ", ".join(f"{step:,}" for step in cadence)
    else:
        listed = f"{cadence[0]:,}, {cadence[1]:,}, ... {cadence[-1]:,}"
    return f"{count:,}, every {'epoch' if interval == 1 else counted(interval, 'epoch')}: after steps {listed}"
