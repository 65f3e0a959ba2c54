"""Draw runs side by side: their curves in one figure, and the comparison as a page."""

from __future__ import annotations

import html
import io
from typing import TYPE_CHECKING, Any

from rich.console import Console

from trm_cli.console.report.page import STYLE, make_figure, svg_of
from trm_cli.console.report.plan_figures import PLAIN, require_matplotlib, saved
from trm_cli.console.views.runs.comparison import comparison_screen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

    from trm_cli.workflows.scores.compare import Comparison

_HEIGHT = 3.0  # inches
_WINDOWS = 60
#: A colour for each side, to be told apart on paper and by most who see few colours.
_SIDES = ("#2166ac", "#d95f0e", "#1b7837", "#7a0177", "#525252")


def comparison_picture(found: Comparison, kind: str) -> bytes:
    """Draw the curves as png or svg. Raises UsageError without matplotlib."""
    matplotlib = require_matplotlib()
    with matplotlib.rc_context(PLAIN):
        figure = make_figure(_HEIGHT)
        draw_curves(figure, found)
        return saved(figure, kind, dpi=130)


def comparison_page(found: Comparison) -> bytes:
    """The comparison as HTML that needs nothing beside itself. Raises UsageError without matplotlib."""
    require_matplotlib()
    title = " beside ".join(side.name for side in found.sides)
    console = Console(file=io.StringIO(), width=100, record=True, color_system="truecolor", force_terminal=True)
    console.print(comparison_screen(found))
    text = console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")
    curves = svg_of("curves", _HEIGHT, lambda figure: draw_curves(figure, found))
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>"
        f"<h2>Curves</h2><div class=figure tabindex=0>{curves}</div>{text}</body></html>\n"
    ).encode()


def draw_curves(figure: FigureBase, found: Comparison) -> None:
    """Draw loss and test accuracy of every run over its updates, a colour for each side."""
    from matplotlib.ticker import LogLocator, NullLocator

    left, right = figure.subplots(1, 2)
    last = max((one["step"] for side in found.sides for run in side.runs for one in run.metrics), default=1)
    for number, side in enumerate(found.sides):
        colour = _SIDES[number % len(_SIDES)]
        for run in side.runs:
            label = f"{side.letter}  {side.name}" if run is side.runs[0] else None
            _loss(left, run.metrics, colour, label)
            tests = [one for one in run.metrics if one.get("kind") == "eval"]
            places, shares = [one["step"] for one in tests], [100 * one["exact_accuracy"] for one in tests]
            right.plot(places, shares, color=colour, marker="o", markersize=3.5, linewidth=1.4, alpha=0.85,
                       clip_on=False)  # fmt: skip
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_locator(NullLocator())
    left.set_title("loss, moving average", loc="left", fontsize=9)
    right.set_title("exact accuracy on the test set, %", loc="left", fontsize=9)
    right.set_ylim(0, 103)
    for axis in (left, right):
        axis.set_xlabel("update", fontsize=8)
        axis.set_xlim(0, last)
    left.legend(frameon=False, fontsize=7.5)


def _loss(axis: Axes, metrics: Any, colour: str, label: str | None) -> None:
    rows = [(one["step"], one["loss"]) for one in metrics if one.get("kind") == "train" and one.get("loss") is not None]
    window = max(1, len(rows) // _WINDOWS)
    means = [sum(loss for _, loss in rows[end - window : end]) / window for end in range(window, len(rows) + 1)]
    axis.plot([step for step, _ in rows[window - 1 :]], means, color=colour, linewidth=1.3, alpha=0.85, label=label)
