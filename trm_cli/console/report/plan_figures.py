"""Write a plan as a picture or as numbers: png, svg, csv, json. matplotlib is imported only to draw."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trm_cli.console.tables import number
from trm_cli.console.views.runs.plan import plan_document
from trm_cli.errors import UsageError
from trm_cli.schedule.curves import Quantity
from trm_cli.schedule.plan import TrainingPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trm_cli.workflows.planning import Planned

_MOST_ROWS = 20_000  # of a csv; a longer run is sampled evenly, with every boundary kept
_POINTS = 800
COLOURS = ("#2166ac", "#4393c3", "#b2182b", "#d6604d", "#1b7837", "#762a83")
PLAIN: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    # The same plan is the same file: no random ids, no date.
    "svg.hashsalt": "trm",
    "svg.fonttype": "none",
}


def plan_file(kind: str, planned: Planned, steps: Sequence[int]) -> bytes:
    """Make the content of a .json, .csv, .png or .svg file; .json also has the values at `steps`."""
    if kind == ".json":
        return (json.dumps(plan_document(planned, steps), indent=2, allow_nan=False) + "\n").encode()
    if kind == ".csv":
        return numbers(planned.plan).encode()
    return picture(planned.plan, planned.title, kind.removeprefix("."))


def picture(plan: TrainingPlan, title: str, kind: str) -> bytes:
    """Draw every quantity over the steps of the run, as "png" or "svg".

    Raises UsageError when matplotlib is not installed.
    """
    matplotlib = require_matplotlib(", or use --plot, --out plan.csv or --out plan.json")
    from matplotlib.figure import Figure

    with matplotlib.rc_context(PLAIN):
        figure = Figure(figsize=(8.0, 1.2 + 1.25 * len(plan.quantities)), layout="constrained")
        _draw(figure, plan, title)
        return saved(figure, kind, dpi=150)


def require_matplotlib(instead: str = "") -> Any:
    """Import matplotlib. Raises UsageError where it is not installed. instead: the end of its hint."""
    try:
        import matplotlib
    except ImportError as error:
        raise UsageError(
            "drawing a picture needs matplotlib, which is not installed",
            hint=f'install the extra with `pip install "trm[plot]"`{instead}',
        ) from error
    return matplotlib


def saved(figure: Figure, kind: str, dpi: int) -> bytes:
    """Render a figure as "png" or "svg", without a date: the same figure gives the same bytes."""
    written = io.BytesIO()
    figure.savefig(written, format=kind, dpi=dpi, metadata={"Date": None} if kind == "svg" else None)
    return written.getvalue()


def numbers(plan: TrainingPlan) -> str:
    """Format the values as csv: a header, then a line for each step (for some of them where the run is long)."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(["step", "epoch", *(quantity.name for quantity in plan.quantities), "evaluate", "checkpoint"])
    for step in sampled_steps(plan, _MOST_ROWS):
        values = [repr(value) for value in plan.record_at(step).values()]
        events = [int(plan.is_eval(step)), int(plan.is_checkpoint(step))]
        rows.writerow([step, plan.epoch_of_step(step), *values, *events])
    return written.getvalue()


def sampled_steps(plan: TrainingPlan, most: int) -> Sequence[int]:
    """Choose the steps 1 .. total, or about `most` of them spread evenly, with every boundary."""
    total = plan.total_steps
    if total <= most:
        return range(1, total + 1)
    edges = {step for q in plan.quantities for s in q.segments for step in (s.start_step, s.end_step)}
    return sorted(
        {1, *(total * k // most for k in range(1, most + 1)), *(edge for edge in edges if 1 <= edge <= total)}
    )


def _draw(figure: Figure, plan: TrainingPlan, title: str) -> None:
    axes = figure.subplots(len(plan.quantities), 1, sharex=True, squeeze=False)[:, 0]
    steps = [0, *sampled_steps(plan, _POINTS)]
    for index, (axis, quantity) in enumerate(zip(axes, plan.quantities, strict=True)):
        band(axis, quantity, steps, COLOURS[index % len(COLOURS)], plan.total_steps)
    last = axes[-1]
    last.set_xlim(0, plan.total_steps)
    last.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    last.set_xlabel(f"update (of {plan.total_steps:,}; {plan.steps_per_epoch:,} an epoch)")
    samples = number(float(plan.samples_per_epoch))
    subtitle = f"{samples} samples x {plan.epochs:,} epochs, batch {plan.global_batch_size:,}"
    figure.suptitle(f"{title}\n{subtitle}", x=0.01, horizontalalignment="left", fontsize=10)


def band(axis: Axes, quantity: Quantity, steps: Sequence[int], colour: str, total: int) -> None:
    """Draw one quantity over the steps, with the ends of its phases marked."""
    values = [quantity.at(step) for step in steps]
    axis.plot(steps, values, color=colour, linewidth=1.8, solid_capstyle="butt")
    axis.fill_between(steps, values, quantity.low, color=colour, alpha=0.12, linewidth=0)
    room = (quantity.high - quantity.low) or abs(quantity.high) or 1.0
    axis.set_ylim(quantity.low - 0.08 * room, quantity.high + 0.12 * room)
    axis.set_yticks(sorted({quantity.low, quantity.high}), [number(v) for v in sorted({quantity.low, quantity.high})])
    axis.set_title(quantity.name, loc="left", fontsize=9, fontweight="bold", pad=3)
    for segment in quantity.segments:
        if 0 < segment.end_step < total:
            axis.axvline(segment.end_step, color="#888888", linewidth=0.8, linestyle=(0, (3, 3)))
            late = segment.end_step > 0.8 * total
            # A curve that rises leaves room below its end, one that falls above it.
            height = 0.18 if segment.end_value > segment.start_value else 0.88
            axis.annotate(
                f"{segment.end_step:,}",
                (segment.end_step, height),
                xycoords=("data", "axes fraction"),
                xytext=(-4 if late else 4, 0),
                textcoords="offset points",
                horizontalalignment="right" if late else "left",
                verticalalignment="center",
                fontsize=8,
                color="#666666",
            )
