"""The report of a run as a self-contained HTML page or as one picture."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trm_cli.console.report import puzzles
from trm_cli.console.report import run_figures as figures
from trm_cli.console.report.plan_figures import PLAIN, require_matplotlib, saved
from trm_cli.console.report.summary import headlines, run_facts, subtitle_of, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase

    from trm_cli.workflows.scores.report import RunRecord

WIDTH = 9.6  # inches
_PICTURE_SAMPLES = 4

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 60rem; margin: 2.5rem auto;
       padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.4rem 0 .4rem; }
.sub { color: #666; margin: .2rem 0 1.4rem; } .note { color: #666; font-size: .9rem; margin: .2rem 0 .6rem; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; }
.card { border: 1px solid #ddd; border-radius: 6px; padding: .7rem 1rem; min-width: 8.2rem; flex: 1; }
.card b { display: block; font-size: 1.45rem; line-height: 1.3; color: #2166ac; font-variant-numeric: tabular-nums; }
.card span { color: #444; font-size: .85rem; }
.card i { display: block; color: #777; font-size: .8rem; font-style: normal; }
/* Below 43rem letters would be too small to read: the figures keep that width, and are moved sideways. */
.figure { overflow-x: auto; } .figure svg { min-width: 43rem; }
@media (max-width: 46rem) {
  .figure::after { content: "swipe sideways for the rest"; position: sticky; left: 0; color: #777; font-size: .75rem; }
}
svg { width: 100%; height: auto; display: block; } svg text { font-family: system-ui, sans-serif !important; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
td { padding: .18rem 1.4rem .18rem 0; vertical-align: top; } td:first-child { color: #666; white-space: nowrap; }
td code, pre { font: .85rem/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: #f7f7f5; padding: 1rem; overflow-x: auto; } summary { cursor: pointer; color: #2166ac; }
"""


@dataclass(frozen=True)
class _Panel:
    """A part of the page: its title, a line under it, how high it is, and what draws it."""

    title: str
    note: str
    height: float
    draw: Callable[[FigureBase], None]


def page(run: RunRecord) -> bytes:
    """Format the report of a run as HTML with its figures inline. Raises UsageError without matplotlib."""
    require_matplotlib()
    escape = html.escape
    cards = "".join(
        f"<div class=card><span>{escape(one.label)}</span><b>{escape(one.value)}</b><i>{escape(one.note)}</i></div>"
        for one in headlines(run)
    )
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{escape(title_of(run))}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title_of(run))}</h1><p class=sub>{escape(subtitle_of(run))}</p><div class=cards>{cards}</div>",
    ]
    for panel in _panels(run, samples=None):
        note = f"<p class=note>{escape(panel.note)}</p>" if panel.note else ""
        parts.append(
            f"<h2>{escape(panel.title)}</h2>{note}<div class=figure tabindex=0>"
            f"{svg_of(panel.title, panel.height, panel.draw)}</div>"
        )
    rows = "".join(f"<tr><td>{escape(name)}<td>{escape(value)}" for name, value in run_facts(run))
    parts.append(f"<h2>The run</h2><table>{rows}</table>")
    parts.append(f"<h2>Configuration</h2><details><summary>every resolved value</summary><pre>{escape(run.config)}")
    return ("\n".join(parts) + "</pre></details></body></html>\n").encode()


def picture(run: RunRecord) -> bytes:
    """Draw the report of a run as one PNG, without the configuration. Raises UsageError without matplotlib."""
    matplotlib = require_matplotlib()
    panels = list(_panels(run, samples=_PICTURE_SAMPLES))
    facts = list(run_facts(run))
    lines = -(-len(facts) // 2)
    heights = [1.55, *(panel.height + 0.5 for panel in panels), 0.35 + 0.2 * lines]
    with matplotlib.rc_context(PLAIN):
        figure = make_figure(sum(heights))
        parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        _draw_head(parts[0], run)
        for part, panel in zip(parts[1:-1], panels, strict=True):
            _heading(part, panel)
            panel.draw(part)
        _draw_facts(parts[-1], facts, lines)
        return saved(figure, "png", dpi=130)


def _panels(run: RunRecord, samples: int | None) -> Iterator[_Panel]:
    if run.metrics:
        note = "light: raw; dark: moving average over 1/60 of the run"
        yield _Panel("Training", note, 2.5, lambda figure: figures.training(figure, run.metrics))
    plan = run.plan
    yield _Panel("Schedule", "", figures.schedule_height(plan), lambda figure: figures.schedule(figure, plan))
    evaluation = run.evaluation
    if evaluation is None:
        return
    note = "bars and shades: 95 % intervals (Wilson)"
    yield _Panel("Accuracy", note, 2.6, lambda figure: figures.accuracy(figure, evaluation))
    drawable = puzzles.drawable(evaluation)
    shown = drawable if samples is None else _mixed(drawable, samples)
    if shown:
        height = puzzles.samples_height(evaluation, len(shown))
        note = puzzles.colours_note(evaluation)
        yield _Panel(
            "Puzzles of the evaluated set",
            note,
            height,
            lambda figure: puzzles.draw_samples(figure, evaluation, shown),
        )


def _mixed(samples: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """Choose the first and the last samples: right ones come before wrong ones."""
    if len(samples) <= most:
        return list(samples)
    return [*samples[: most // 2], *samples[-(most - most // 2) :]]


def svg_of(title: str, height: float, draw: Callable[[FigureBase], None]) -> str:
    """Draw a figure for a page. title: no other figure of the page has it."""
    import matplotlib

    # Ids are digests with this salt: those of two figures on one page must not be the same.
    with matplotlib.rc_context({**PLAIN, "svg.hashsalt": title}):
        figure = make_figure(height)
        draw(figure)
        text = saved(figure, "svg", dpi=130).decode()
    text = text[text.index("<svg") :]
    # matplotlib names its groups axes_1, text_2 ...: nothing refers to them, and a page has each id once.
    return re.sub(r'<g id="[A-Za-z0-9_.]+">', "<g>", re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL))


def make_figure(height: float) -> Figure:
    """An empty figure as wide as a page, `height` inches high."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.05))


def _draw_head(figure: FigureBase, run: RunRecord) -> None:
    figure.text(0.015, 0.93, title_of(run), fontsize=17, fontweight="bold", va="top")
    figure.text(0.015, 0.66, subtitle_of(run), fontsize=9, color="#666666", va="top")
    shown = list(headlines(run))
    for index, one in enumerate(shown):
        left = 0.015 + index * 0.97 / len(shown)
        figure.text(left, 0.42, one.label, fontsize=8.5, color="#444444", va="top")
        figure.text(left, 0.30, one.value, fontsize=15, color=figures.BLUE, va="top")
        figure.text(left, 0.09, one.note, fontsize=7.5, color="#777777", va="top")


def _heading(figure: FigureBase, panel: _Panel) -> None:
    figure.suptitle(panel.title, x=0.015, ha="left", fontsize=11.5, fontweight="bold")
    figure.text(0.985, 0.985, panel.note, ha="right", va="top", fontsize=7.5, color="#777777")


def _draw_facts(figure: FigureBase, facts: Sequence[tuple[str, str]], lines: int) -> None:
    for index, (name, value) in enumerate(facts):
        left = 0.015 if index < lines else 0.515
        top = 1 - (index % lines + 0.9) / (lines + 1)
        figure.text(left, top, name, fontsize=8, color="#777777", va="center")
        figure.text(left + 0.105, top, value if len(value) <= 64 else value[:61] + "...", fontsize=8, va="center")
