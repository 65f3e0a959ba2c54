from __future__ import annotations

import io
from itertools import pairwise

import pytest
from rich.console import Console

from tests.support.schedules import Arch, plan_of
from trm_cli.console.plots import SchedulePlot, bars
from trm_cli.console.tables import number
from trm_cli.console.views.runs.plan import PlanView, comparison_view, values_view

SOURCES = {"lr_warmup_ratio": "configs/cfg_pretrain.yaml:32", "expansion_anneal_ratio": "override 1"}


def drawn(what: object, width: int, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width, color_system=None, highlight=False).print(what)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_nothing_is_cut_off_at_any_width(width: int) -> None:
    plan = plan_of(1_000_000, epochs=1000)
    text = drawn(PlanView(plan, title="vision-unified", sources=SOURCES), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    for piece in ("31,250,000", "expansion_anneal_ratio 0.5", "cfg_pretrain.yaml:32", "command line", "0 - 15,625,000"):
        assert piece in text


def test_wide_terminals_get_one_line_for_each_boundary() -> None:
    plan = plan_of(3_200, epochs=10)
    wide, narrow = (drawn(PlanView(plan, title="", sources=SOURCES), width) for width in (120, 80))
    line = next(line for line in wide.splitlines() if line.startswith("expansion_penalty"))
    assert line.split() == [
        "expansion_penalty", "cosine", "0", "-", "500", "0.1", "->", "0.001", "expansion_anneal_ratio", "0.5",
        "command", "line",
    ]  # fmt: skip
    assert len(narrow.splitlines()) > len(wide.splitlines())


def test_a_place_that_does_not_fit_continues_under_its_column() -> None:
    sources = {"lr_warmup_ratio": "configs/cfg_pretrain.yaml:37"}
    text = drawn(PlanView(plan_of(3_200, epochs=10), title="", sources=sources), 60)
    lines = text.splitlines()
    columns = [line.index(sources["lr_warmup_ratio"]) for line in lines if "cfg_pretrain" in line]
    assert set(columns) == {next(line.index("curve") for line in lines if line.startswith("quantity"))}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_curves_fit_and_share_one_axis(width: int) -> None:
    plan = plan_of(3_200, epochs=10, lr_min_ratio=0.1)
    text = drawn(SchedulePlot(plan.quantities, plan.total_steps), width)
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= width
    for name in plan.record_at(0):
        assert any(line.startswith(name) for line in lines)
    assert "a 40 lr, puzzle_emb_lr" in text
    assert "c 500 expansion_penalty, epsilon" in text
    axis = next(line for line in lines if "─" in line)
    assert axis.index("c") - axis.index("─") == pytest.approx((len(axis) - axis.index("─")) / 2, abs=1)


def test_a_terminal_without_blocks_gets_letters() -> None:
    plan = plan_of(3_200, epochs=10)
    for what in (SchedulePlot(plan.quantities, plan.total_steps), PlanView(plan, title="", sources=SOURCES)):
        drawn(what, 80, encoding="ascii").encode("ascii")


def test_bars_rise_with_their_values() -> None:
    top, bottom = bars([0.0, 0.25, 0.5, 0.75, 1.0], 0.0, 1.0, 2)
    heights = [" ▁▂▃▄▅▆▇█".index(a) + " ▁▂▃▄▅▆▇█".index(b) for a, b in zip(top, bottom, strict=True)]
    assert heights[0] == 1
    assert heights[-1] == 16
    assert all(a < b for a, b in pairwise(heights))
    assert bars([0.3, 0.3], 0.3, 0.3, 1) == ["██"]


def test_values_and_comparison_fit() -> None:
    plan = plan_of(32_000)
    other = plan_of(32_000, arch=Arch(("lr",)), epochs=50)
    for width in (60, 80):
        values = drawn(values_view(plan, [0, 1, 10, 100, 1000, 5000, 100_000], width), width)
        assert max(len(line.rstrip()) for line in values.splitlines()) <= width
        assert "100,000" in values
        assert "expansion_penalty" in values
        both = drawn(comparison_view(plan, other, ("vision-unified", "other")), width)
        assert "differences, marked !" in both
    assert "the same at every step" in drawn(comparison_view(plan, plan, ("a", "b")), 80)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (1e-4, "1e-4"), (5e-8, "5e-8"), (0.001, "0.001"), (1 / 3, "0.333333"), (65104, "65,104"), (1.0, "1"),
     (1333.3333333, "1,333.33"), (2.5e9, "2.5e9"), (-0.5, "-0.5")],
)  # fmt: skip
def test_numbers_are_short(value: float, shown: str) -> None:
    assert number(value) == shown
