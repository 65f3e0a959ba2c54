"""Show an evaluation in eighty columns: the accuracy first, then the tables behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trm_cli.console.tables import facts, table
from trm_cli.evaluation.protocol import protocol_line

_BAR = 20
_RULES = {
    "best_q": "best q_halt",
    "first_to_halt": "first to halt",
    "smallest_residual": "smallest residual",
    "checked": "first that keeps the rules",
    "majority_tokens": "majority of tokens",
    "majority_answers": "majority of answers",
    "agreement": "agreement",
}
_ROWS = {"grid": "grids", "text": "texts", "picture": "pictures"}
#: Measures of difficulty whose names are shown in other words.
MEASURES = {"path_length": "path length"}


def evaluation_screen(document: Mapping[str, Any], steps: Sequence[int] = ()) -> Group:
    """Show the result of an evaluation: its figures, then a table for each thing that they depend on.

    steps: those whose accuracy is shown; default: each up to 16, then some.
    """
    parts: list[RenderableType] = [_head(document)]
    for title, made in _sections(document, steps):
        parts += [Text(), Text(title, "bold"), made]
    return Group(*parts)


def percent(value: float | None) -> str:
    """Format a share in per cent with two decimals; "-" where nothing was counted."""
    return "-" if value is None else f"{100 * value:.2f} %"


def interval(share: Mapping[str, Any]) -> str:
    """Format the 95 % interval of a share."""
    return share_range(share["low"], share["high"])


def share_range(low: float, high: float) -> str:
    """Format the ends of an interval of shares."""
    return f"{100 * low:.1f} - {100 * high:.1f} %"


def _head(document: Mapping[str, Any]) -> Table:
    exact, token, dataset = document["exact"], document["token"], document["dataset"]
    limit = document["protocol"]["limit"]
    part = f", first {limit:,} puzzles" if limit else ""
    kinds = document.get("by_kind", {})
    passed = [one for one in document.get("arc", {}).get("pass", []) if one["k"] == 2]
    return facts([
        *((kind, f"{value}  {note}") for kind, value, note in kind_figures(kinds)),
        # Of a stream the lines of the kinds say it.
        *(() if kinds else (
            ("exact", f"{_estimate(exact)}  {exact['hits']:,} of {exact['count']:,} rows"),
            *([("valid", f"{_estimate(document['valid'])}  by the rules")] if "valid" in document else []),
            ("token", _estimate(token)),
        )),
        *(("pass@2", f"{_estimate(one)}  of {one['count']:,} tasks") for one in passed),
        ("protocol", protocol_line(document["protocol"])),
        ("weights", weights_line(document)),
        ("data", f"{', '.join(document['paths'])} ({dataset['split']}{part}), {dataset['fingerprint'][:12]}"),
    ])  # fmt: skip


def kind_figures(kinds: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what each kind of row is judged by: its name, the figure, and a note on it."""
    if (grids := kinds.get("grid")) is not None:
        exact, cells = grids["exact"], percent(grids["token"]["value"])
        note = f"({interval(exact)})  cells {cells}  of {grids['rows']:,} grids"
        yield "grids", f"exact {percent(exact['value'])}", note
    if (texts := kinds.get("text")) is not None:
        unit, count = ("token", "") if texts["bits_per_byte"] is None else ("byte", f"{texts['bytes']:,} bytes in ")
        yield "text", f"{texts[f'bits_per_{unit}']:.3f} bits per {unit}", f"of {count}{texts['rows']:,} texts"
    if (pictures := kinds.get("picture")) is not None:
        exact = pictures["exact"]
        yield "pictures", f"class {percent(exact['value'])}", f"({interval(exact)})  of {pictures['rows']:,} pictures"


def _estimate(share: Mapping[str, Any]) -> str:
    return f"{percent(share['value'])}  ({interval(share)})"


def weights_line(document: Mapping[str, Any]) -> str:
    """Describe the weights, and the precision and device of the evaluation."""
    checkpoint, protocol = document["checkpoint"], document["protocol"]
    kind = "average (EMA)" if checkpoint["weights"] == "ema" else "raw"
    return (
        f"{kind} at step {checkpoint['step']:,}, {protocol['precision']} on {protocol['device']}, "
        f"sha256 {checkpoint['sha256'][:12]}"
    )


def _sections(document: Mapping[str, Any], steps: Sequence[int]) -> Iterator[tuple[str, Table]]:
    if "arc" in document:
        arc = document["arc"]
        least, most = arc["votes_per_input"]["least"], arc["votes_per_input"]["most"]
        spread = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        yield f"pass@k over {arc['test_inputs']:,} test inputs, {spread} votes each", _pass_table(arc["pass"])
    for name, rows in document["by_difficulty"].items():
        if len(rows) > 1:
            yield f"by {MEASURES.get(name, name)}", _difficulty_table(MEASURES.get(name, name), rows)
    if "restarts" in document:
        passes, views = document["restarts"]["count"], document["protocol"].get("views", 1)
        title = f"of {passes} restarts" if views == 1 else f"of {views} views"
        if 1 < views < passes:
            title += f" from {passes // views} starts"
        yield title, _restarts_table(document["restarts"], views)
    if "checked" in document:
        yield "passes until an answer keeps the rules", _checked_table(document["checked"])
    of = f" of {_ROWS[document['judged']]}" if "judged" in document else ""
    yield f"by step{of}", _steps_table(document["steps"], steps)
    yield _calibration_title(document["q_halt"]), _calibration_table(document["q_halt"]["bins"])


def _share_row(share: Mapping[str, Any]) -> tuple[str, str, str]:
    return f"{share['count']:,}", percent(share["value"]), interval(share)


def _bar(value: float | None) -> str:
    return "\N{FULL BLOCK}" * round(_BAR * (value or 0.0))


def _pass_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    shown = [(f"{one['k']:,}", *_share_row(one), _bar(one["value"])) for one in rows]
    return table("k", "tasks", "pass@k", "95 %", "", right=(0, 1, 2, 3), rows=shown)


def _difficulty_table(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    shown = [
        (row["label"], *_share_row(row["exact"]), percent(row["token"]["value"]), _bar(row["exact"]["value"]))
        for row in rows
    ]
    return table(name, "rows", "exact", "95 %", "token", "", right=(0, 1, 2, 3, 4), rows=shown)


def _restarts_table(restarts: Mapping[str, Any], views: int) -> Table:
    alone, single = ("trained start alone", "starts") if views == 1 else ("the puzzle itself alone", "views")
    shown = [
        (alone, *_share_row(restarts["single"][0])),
        (f"mean of single {single}", "", percent(restarts["mean"]), ""),
        *((_RULES.get(rule, rule), *_share_row(shares["exact"])) for rule, shares in restarts["chosen"].items()),
        ("where all agree", *_share_row(restarts["unanimous"]["exact"])),
        ("any of them right", *_share_row(restarts["any"])),
    ]
    return table("answer chosen by", "rows", "exact", "95 %", right=(1, 2, 3), rows=shown)


def _checked_table(checked: Mapping[str, Any]) -> Table:
    shown = [
        (f"{one['passes']:,}", *_share_row(one["valid"]), percent(one["exact"]["value"]), _bar(one["valid"]["value"]))
        for one in checked["curve"]
    ]
    made = table("at most", "rows", "valid", "95 %", "exact", "", right=(0, 1, 2, 3, 4), rows=shown)
    made.add_row("mean", "", f"{checked['mean_passes'] or 0:.2f} passes", f"{checked['mean_steps'] or 0:.1f} steps")
    return made


def _steps_table(steps: Mapping[str, Any], wanted: Sequence[int]) -> Table:
    """List the steps (of more than 16, some of them and the last): exact accuracy, rows that halted, rows evaluated."""
    made = table("step", "exact", "95 %", "residual", "halted", "evaluated", right=(0, 1, 2, 3, 4, 5))
    depth = len(steps["exact_after"])
    for step in sorted(set(wanted or (*range(1, 17), 24, 32, 64, 128, depth)) & set(range(1, depth + 1))):
        share = steps["exact_after"][step - 1]
        ran = sum(steps["distribution"][step - 1 :])
        halts = steps["halting"]["distribution"][step - 1]
        residual = steps.get("residual_after", [None] * depth)[step - 1]
        moved = "-" if residual is None else f"{residual:.2g}"
        made.add_row(str(step), percent(share["value"]), interval(share), moved, f"{halts:,}", f"{ran:,}")
    made.add_row("halting", percent(steps["halting"]["exact"]["value"]), interval(steps["halting"]["exact"]), "",
                 f"mean step {steps['halting']['mean'] or 0:.2f}", f"mean {steps['mean'] or 0:.2f}")  # fmt: skip
    return made


def _calibration_title(q_halt: Mapping[str, Any]) -> str:
    error, accuracy = q_halt["expected_calibration_error"], q_halt["accuracy"]["value"]
    return f"q_halt: halting-head accuracy {percent(accuracy)}, expected calibration error {percent(error)}"


def _calibration_table(bins: Sequence[Mapping[str, Any]]) -> Table:
    shown = [(percent(one["confidence"]), *_share_row(one["right"]), _bar(one["right"]["value"])) for one in bins]
    return table("confidence", "rows", "accuracy", "95 %", "", right=(0, 1, 2, 3), rows=shown)
