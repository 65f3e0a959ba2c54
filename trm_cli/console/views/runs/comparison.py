"""Show runs side by side: what differs, how accurate they are, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import mean
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from trm_cli.config.dump import scalar
from trm_cli.console.tables import counted, facts, table
from trm_cli.console.views.runs.evaluation import MEASURES, interval, percent, share_range
from trm_cli.workflows.scores.compare import LEVEL, Comparison, Grouped, Paired, Side

_COUNTS = {"total_steps": "updates", "steps_per_epoch": "an epoch", "global_batch_size": "rows each"}


def comparison_screen(found: Comparison) -> Group:
    """Show a comparison in eighty columns."""
    parts: list[RenderableType] = [facts((side.letter, _about(side)) for side in found.sides)]
    for title, made in _sections(found):
        parts += [Text(), Text(title, "bold"), made]
    for line in found.missing:
        parts += [Text(), Text(line, "yellow")]
    return Group(*parts)


def _about(side: Side) -> str:
    run = side.runs[0]
    seeds = f", {counted(len(side.runs), 'seed')}" if len(side.runs) > 1 else ""
    return f"{side.name}: {run.model}, architecture {run.architecture}{seeds}"


def _sections(found: Comparison) -> Iterator[tuple[str, RenderableType]]:
    letters = [side.letter for side in found.sides]
    if found.settings:
        keys = [(Text(one.key), *map(_value, one.values)) for one in found.settings]
        yield "settings that differ", table("key", *letters, rows=keys)
    elif len(letters) > 1:
        yield "settings", Text("all the same")
    plans = [side.runs[0].plan for side in found.sides]
    counts = [(name, *(f"{plan[key]:,}" for plan in plans)) for key, name in _COUNTS.items()]
    yield "plan", table("", *letters, right=range(1, len(letters) + 1), rows=counts)
    yield "exact accuracy", table("", "rows", "exact", "95 %", "", right=(1, 2, 3), rows=_accuracies(found))
    for test in found.tests:
        yield f"{test.second} beside {test.first}", _paired(test) if isinstance(test, Paired) else _grouped(test)


def _value(value: tuple[Any, str] | None) -> Text:
    """A value as a file has it; where it comes from is in the JSON document."""
    if value is None:
        return Text("-")
    return Text(", ".join(map(str, value[0])) if isinstance(value[0], list | tuple) else scalar(value[0]))


def _accuracies(found: Comparison) -> Iterator[tuple[str, ...]]:
    from trm_cli.evaluation.scores.paired import bootstrap_interval, t_interval

    for side in found.sides:
        for run in side.runs:
            name = side.letter if len(side.runs) == 1 else f"{side.letter} {run.directory.name}"
            if run.evaluation is None:
                yield name, "", "-", "", "not evaluated"
                continue
            exact = run.evaluation["exact"]
            yield name, f"{exact['count']:,}", percent(exact["value"]), interval(exact), "Wilson"
        if len(side.exact) > 1:
            average = percent(mean(side.exact))
            for method, of in (("Student's t", t_interval), ("bootstrap", bootstrap_interval)):
                low, high = of(side.exact) or (0.0, 1.0)
                yield f"{side.letter} mean", counted(len(side.exact), "seed"), average, share_range(low, high), method


def _points(difference: tuple[float, float, float]) -> str:
    value, low, high = (100 * one for one in difference)
    return f"{value:+.2f} points (95 %: {low:+.2f} to {high:+.2f})"


def _verdict(test: Paired | Grouped) -> Text:
    if test.p_value >= LEVEL:
        return Text(f"no difference shown (p >= {LEVEL})", "bold")
    better = test.second if test.difference[0] > 0 else test.first
    return Text(f"{better} is right more often", "bold green")


def _paired(test: Paired) -> Group:
    count = test.both + test.only_first + test.only_second + test.neither
    how = [] if test.protocols is None else [
        (f"{letter} ran", line) for letter, line in zip((test.first, test.second), test.protocols, strict=True)
    ]  # fmt: skip
    parts: list[RenderableType] = [
        facts([
            *how,
            ("puzzles", f"the same {count:,}: both right {test.both:,}, only {test.first} {test.only_first:,}, "
                        f"only {test.second} {test.only_second:,}, neither {test.neither:,}"),
            ("difference", _points(test.difference)),
            ("p", f"{test.p_value:.2g} (exact McNemar test)"),
        ]),
        _verdict(test),
    ]  # fmt: skip
    if test.protocols is not None:
        parts.append(Text("not evaluated by the same protocol: the difference may come from that", "bold yellow"))
    for name, rows in test.by_difficulty.items():
        if len(rows) > 1:
            shown = [(label, f"{size:,}", percent(one), percent(other)) for label, size, one, other in rows]
            label = MEASURES.get(name, name)
            parts += [Text(), table(f"by {label}", "rows", test.first, test.second, right=(0, 1, 2, 3), rows=shown)]
    return Group(*parts)


def _grouped(test: Grouped) -> Group:
    return Group(
        facts([
            ("difference", f"{_points(test.difference)}, of the means"),
            ("p", f"{test.p_value:.2g} (permutation test over the seeds)"),
        ]),
        _verdict(test),
    )  # fmt: skip


def comparison_document(found: Comparison) -> dict[str, Any]:
    """Describe a comparison as plain data."""
    from trm_cli.evaluation.scores.paired import bootstrap_interval, t_interval

    return {
        "sides": [
            {
                "name": side.name,
                "runs": [str(run.directory) for run in side.runs],
                "plan": {
                    key: side.runs[0].plan[key] for key in ("total_steps", "steps_per_epoch", "global_batch_size")
                },
                "exact": [None if run.evaluation is None else run.evaluation["exact"] for run in side.runs],
                "mean": mean(side.exact) if side.exact else None,
                "t_interval": t_interval(side.exact),
                "bootstrap_interval": bootstrap_interval(side.exact),
            }
            for side in found.sides
        ],
        "settings": {
            one.key: [None if value is None else {"value": value[0], "source": value[1]} for value in one.values]
            for one in found.settings
        },
        "tests": [_test_document(test, found.sides) for test in found.tests],
        "missing": list(found.missing),
    }


def _test_document(test: Paired | Grouped, sides: Any) -> dict[str, Any]:
    names: Mapping[str, str] = {side.letter: side.name for side in sides}
    value, low, high = test.difference
    document: dict[str, Any] = {
        "first": names[test.first],
        "second": names[test.second],
        "test": "mcnemar" if isinstance(test, Paired) else "permutation",
        "difference": {"value": value, "low": low, "high": high},
        "p_value": test.p_value,
        "differs": test.p_value < LEVEL,
    }
    if isinstance(test, Paired):
        document |= {name: getattr(test, name) for name in ("both", "only_first", "only_second", "neither")}
        document["protocols"] = test.protocols
        document["by_difficulty"] = {
            name: [{"label": label, "rows": size, "exact": [one, other]} for label, size, one, other in rows]
            for name, rows in test.by_difficulty.items()
        }
    return document
