"""Draw the figures of a report: training curves, schedule, accuracy, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trm_cli.console.report.plan_figures import COLOURS, band
from trm_cli.console.views.runs.evaluation import MEASURES
from trm_cli.schedule.plan import read_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from matplotlib.ticker import Locator

BLUE, PALE_BLUE, RED, GREY = "#2166ac", "#a6c8e4", "#b2182b", "#8a8a8a"
_POINTS = 400
_WINDOWS = 60


def training(figure: FigureBase, records: Sequence[Mapping[str, Any]]) -> None:
    """Draw loss, accuracy of puzzles and pictures, and bits of text, as far as there are any, on training rows and on
    the test set over the updates. records: lines of metrics.jsonl."""
    steps = [record for record in records if record.get("kind") == "train"]
    tests = [record for record in records if record.get("kind") == "eval"]
    text = [record for record in tests if record.get("text_rows")]
    only_text = bool(tests) and all(str(record.get("judged_by", "")).startswith("bits") for record in tests)
    has_bits = bool(text) or any(record.get("text_bits") is not None for record in steps)
    axes = iter(figure.subplots(1, 1 + (not only_text) + has_bits, squeeze=False)[0])
    drawn = [axis := next(axes)]
    _titled(axis, "loss")
    _curve(axis, steps, "loss", BLUE, PALE_BLUE)
    _logarithmic(axis)
    if not only_text:
        drawn.append(axis := next(axes))
        _accuracies(axis, steps, tests)
    if has_bits:
        drawn.append(axis := next(axes))
        _bits(axis, steps, text)
    last = max((record["step"] for record in records), default=1)
    for axis in drawn:
        _steps_axis(axis, last)


def _logarithmic(axis: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())


def _accuracies(axis: Axes, steps: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]]) -> None:
    _titled(axis, "exact accuracy, %")
    puzzles = [one for one in tests if one.get("judged_by", "exact_accuracy") == "exact_accuracy"]
    pictures = [one for one in tests if one.get("picture_accuracy") is not None]
    _curve(axis, steps, "exact_accuracy", GREY, "#d9d9d9", scale=100, label="training rows")
    if has_pictures := bool(pictures) or any(record.get("picture_accuracy") is not None for record in steps):
        _curve(axis, steps, "picture_accuracy", "#c9a24a", "#efe2c2", scale=100, label="training pictures")
    of = ", puzzles" if has_pictures else ""
    _points(axis, puzzles, "exact_accuracy", BLUE, f"test{of}", scale=100)
    _points(axis, puzzles, "token_accuracy", PALE_BLUE, "test, tokens", scale=100)
    _points(axis, pictures, "picture_accuracy", RED, "test, pictures", scale=100)
    axis.set_ylim(0, 103)
    _legend(axis, columns=2 if has_pictures else 3)


def _bits(axis: Axes, steps: Sequence[Mapping[str, Any]], text: Sequence[Mapping[str, Any]]) -> None:
    unit = "token" if text and text[-1].get("bits_per_byte") is None else "byte"
    _titled(axis, f"text, bits per {unit}")
    _curve(axis, steps, "text_bits", GREY, "#d9d9d9", label="training rows")
    _points(axis, text, f"bits_per_{unit}", BLUE, "test")
    axis.set_ylim(bottom=0)
    _legend(axis, columns=2)


def _points(
    axis: Axes, tests: Sequence[Mapping[str, Any]], name: str, colour: str, label: str, scale: float = 1.0
) -> None:
    if tests:
        places, values = [one["step"] for one in tests], [scale * one[name] for one in tests]
        axis.plot(places, values, color=colour, label=label, marker="o", markersize=4.5, linewidth=1.6, clip_on=False,
                  zorder=5)  # fmt: skip


def _legend(axis: Axes, columns: int) -> None:
    if axis.lines and any(not str(line.get_label()).startswith("_") for line in axis.lines):
        axis.legend(frameon=False, fontsize=7.5, handlelength=1.4, columnspacing=1.2, ncols=columns, loc="best")


def schedule(figure: FigureBase, plan: Mapping[str, Any]) -> None:
    """Draw the scheduled values over the run. plan: plan.json."""
    quantities = [read_quantity(one) for one in plan["quantities"]]
    total = int(plan["total_steps"])
    steps = sorted({total * part // _POINTS for part in range(_POINTS + 1)})
    columns = 2 if len(quantities) > 1 else 1
    rows = -(-len(quantities) // columns)
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for index, quantity in enumerate(quantities):
        band(axes[index], quantity, steps, COLOURS[index % len(COLOURS)], total)
        _steps_axis(axes[index], total)
    for axis in axes[len(quantities) :]:
        axis.set_axis_off()


def schedule_height(plan: Mapping[str, Any]) -> float:
    """Compute the height of `schedule` in inches."""
    count = len(plan["quantities"])
    return 1.5 * (-(-count // 2) if count > 1 else 1) + 0.1


def accuracy(figure: FigureBase, evaluation: Mapping[str, Any]) -> None:
    """Draw accuracy by each measure of difficulty (ARC: pass@k) and after each step, and the calibration of q_halt."""
    tables = difficulty_tables(evaluation)
    axes = figure.subplots(1, 2 + len(tables), width_ratios=[1.15] * len(tables) + [1, 1], squeeze=False)[0]
    for axis, (name, rows) in zip(axes, tables, strict=False):
        _bars(axis, name, rows)
    _by_step(axes[-2], evaluation)
    _calibration(axes[-1], evaluation["q_halt"])


def difficulty_tables(evaluation: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, Mapping[str, Any]]]]]:
    """Choose at most two tables to draw as bars: (title, [(label, share)])."""
    tables = []
    if "arc" in evaluation:
        tables.append(("pass@k, %", [(f"{one['k']:,}", one) for one in evaluation["arc"]["pass"]]))
    for name, rows in evaluation["by_difficulty"].items():
        if len(rows) > 1:
            title = f"exact by {MEASURES.get(name, name)}, %"
            tables.append((title, [(row["label"], row["exact"]) for row in rows]))
    return tables[:2]


def _bars(axis: Axes, title: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    _titled(axis, title)
    places = range(len(rows))
    values = [100 * (share["value"] or 0.0) for _, share in rows]
    axis.bar(places, values, width=0.72, color=BLUE, zorder=2)
    reach = [
        [value - 100 * share["low"] for value, (_, share) in zip(values, rows, strict=True)],
        [100 * share["high"] - value for value, (_, share) in zip(values, rows, strict=True)],
    ]
    axis.errorbar(places, values, yerr=reach, fmt="none", ecolor="#333333", elinewidth=1.1, capsize=2.5, zorder=3)
    crowded = len(rows) > 6  # the two ends of a bin then stand below each other
    names = [label.replace("-", "-\n", 1) if crowded else label for label, _ in rows]
    labels = [f"{name}\n{share['count']:,}" for name, (_, share) in zip(names, rows, strict=True)]
    axis.set_xticks(places, labels, fontsize=7.5)
    axis.set_xlabel("rows below each bar", fontsize=8, color="#666666")
    axis.set_ylim(0, 103)
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)


def _by_step(axis: Axes, evaluation: Mapping[str, Any]) -> None:
    shares = evaluation["steps"]["exact_after"]
    _titled(axis, "exact after each step, %")
    steps = range(1, len(shares) + 1)
    axis.fill_between(
        steps, [100 * s["low"] for s in shares], [100 * s["high"] for s in shares], color=BLUE, alpha=0.15, linewidth=0
    )
    axis.plot(steps, [100 * (s["value"] or 0.0) for s in shares], color=BLUE, marker="o", markersize=4, linewidth=1.6)
    trained = evaluation["protocol"]["trained_steps"]
    if len(shares) > trained:
        axis.axvline(trained, color=GREY, linewidth=0.8, linestyle=(0, (3, 3)))
    axis.set_ylim(0, 103)
    axis.xaxis.set_major_locator(_whole_numbers(8))
    axis.set_xlabel("supervision step", fontsize=8, color="#666666")
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)


def _calibration(axis: Axes, q_halt: Mapping[str, Any]) -> None:
    _titled(axis, "accuracy by confidence (q_halt), %")
    axis.plot([0, 100], [0, 100], color=GREY, linewidth=0.8, linestyle=(0, (3, 3)))
    rows = q_halt["bins"]
    most = max((one["right"]["count"] for one in rows), default=1)
    for one in rows:
        share = one["right"]
        place, value = 100 * one["confidence"], 100 * share["value"]
        axis.errorbar([place], [value], yerr=[[value - 100 * share["low"]], [100 * share["high"] - value]],
                      color=BLUE, elinewidth=1.0, capsize=2)  # fmt: skip
        axis.scatter(
            [place], [value], s=16 + 90 * share["count"] / most, color=BLUE, alpha=0.85, linewidths=0, zorder=3
        )
    axis.set_xlim(-3, 103)
    axis.set_ylim(-3, 103)
    axis.set_xlabel("confidence, %; larger: more rows", fontsize=8, color="#666666")
    axis.grid(color="#e6e6e6", linewidth=0.8)


def _curve(
    axis: Axes,
    records: Sequence[Mapping[str, Any]],
    name: str,
    colour: str,
    pale: str,
    *,
    scale: float = 1.0,
    label: str | None = None,
) -> None:
    """Draw a series, and its moving average over 1/60 of the run."""
    points = [(record["step"], scale * record[name]) for record in records if record.get(name) is not None]
    if not points:
        return
    steps, values = zip(*points, strict=True)
    axis.plot(steps, values, color=pale, linewidth=0.7)
    window = max(1, len(values) // _WINDOWS)
    smooth = [sum(values[max(0, end - window) : end]) / min(window, end) for end in range(1, len(values) + 1)]
    axis.plot(steps, smooth, color=colour, linewidth=1.6, label=label)


def _titled(axis: Axes, title: str) -> None:
    axis.set_title(title, loc="left", fontsize=9, fontweight="bold", pad=6)


def _steps_axis(axis: Axes, last: int) -> None:
    axis.set_xlim(0, last)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.xaxis.set_major_locator(_whole_numbers(5))
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)


def _whole_numbers(most: int) -> Locator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=most, integer=True)
