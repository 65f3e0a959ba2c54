"""Show a model by component: parameters, operations, memory, and whether it fits on a machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from trm_cli.console.tables import facts, table
from trm_cli.units import memory_size

if TYPE_CHECKING:
    from trm_cli.workflows.inspect.model import MachineFit, ModelInspection
    from trm_cli.workflows.inspect.model_report import ModelReport

_MEMORY = {
    "weights": "float32 parameters",
    "gradients": "",
    "moments": "two per trained weight, of the optimizer",
    "average": "moving average of the weights, for evaluation",
    "state": "buffers: replay, tables",
    "carry": "states kept between updates, in and out",
    "activations": "forward and backward pass",
    "evaluation": "more than an update needs, for evaluations",
}


def model_screen(found: ModelInspection) -> RenderableType:
    """Show a model, 80 columns wide."""
    name, report = found.name, found.report
    head = Text(f"{name}: {millions(report.parameters)} parameters", style="bold")
    head.append(f"  ({report.rows.vocab_size} tokens, rows of {report.rows.seq_len:,} places)", style="not bold")
    source = Text(f"sizes from {report.rows.source}", style="dim")
    rows = [Text(), _rows(report)] if report.kinds else []
    parts = [Text(), _parts(report), *rows, Text(), _memory(report), Text()]
    return Group(head, source, *parts, *map(_fit, found.fits))


def model_document(found: ModelInspection) -> dict[str, Any]:
    """Describe a model as plain data: parameters, operations for one row and one update, bytes."""
    name, report = found.name, found.report
    return {
        "name": name,
        "parameters": report.parameters,
        "components": {part.pop("name"): part for part in map(asdict, report.parts)},
        "rows": {name: value for name, value in asdict(report.rows).items() if name != "shape"},
        "kinds": [asdict(one) for one in report.kinds],
        "demonstrations": [asdict(one) for one in report.demonstrations],
        "batch_size": report.batch_size,
        "precision": report.precision,
        "update_operations": report.update_operations,
        "memory": {**asdict(report.memory), "total": report.memory.total},
        "verdicts": [_fit_document(fit) for fit in found.fits],
    }


def _parts(report: ModelReport) -> RenderableType:
    shown = [
        (one.name, f"{one.parameters:,}", f"{one.parameters / report.parameters:.1%}", _giga(one.forward),
         _giga(one.training))
        for one in report.parts
    ]  # fmt: skip
    made = table("part", "parameters", "share", "GFLOP a row", "with backward", right=(1, 2, 3, 4), rows=shown)
    forward, training = (sum(getattr(part, kind) for part in report.parts) for kind in ("forward", "training"))
    made.add_section()
    made.add_row("all", f"{report.parameters:,}", "", _giga(forward), _giga(training), style="bold")
    return made


def _rows(report: ModelReport) -> RenderableType:
    """What a row of each kind costs, and what demonstrations add to a grid."""
    shown = [
        (f"{plus}{one.name}", f"{plus}{_giga(one.forward)}", f"{plus}{_giga(one.training)}")
        for plus, costs in (("", report.kinds), ("+ ", report.demonstrations))
        for one in costs
    ]
    return table("row, in one step", "GFLOP a row", "with backward", right=(1, 2), rows=shown)


def _memory(report: ModelReport) -> RenderableType:
    parts = asdict(report.memory).items()
    shown = [(name, memory_size(size), Text(_MEMORY[name], style="dim")) for name, size in parts if size]
    made = table("memory", "size", f"batch {report.batch_size:,} in {report.precision}", right=(1,), rows=shown)
    made.add_section()
    made.add_row("estimated", memory_size(report.memory.total), "", style="bold")
    update = f"{report.update_operations / 1e12:,.3g} TFLOP in matrix products"
    return Group(made, Text(), facts([("one update", update)]))


def _fit_document(fit: MachineFit) -> dict[str, Any]:
    return {
        "machine": fit.machine,
        "precision": fit.precision,
        "room": fit.available,
        "needed": fit.needed,
        "largest_batch": fit.largest_batch,
        "fits": fit.fits,
    }


def _fit(fit: MachineFit) -> Text:
    needed = f"{memory_size(fit.needed)} of {memory_size(fit.available)} in {fit.precision}"
    if fit.fits:
        return Text(f"{fit.machine}: fits, {needed}; up to a batch of {fit.largest_batch:,}", "green")
    advice = f"a batch of {fit.largest_batch:,} would" if fit.largest_batch else "no batch would"
    return Text(f"{fit.machine}: does not fit, {needed}; {advice}", "red")


def millions(count: int) -> str:
    """Format a number of parameters: 167 M, 6.83 M, 124,000."""
    if count < 1_000_000:
        return f"{round(count, -3):,}" if count > 10_000 else f"{count:,}"
    return f"{count / 1e6:.3g} M" if count < 999_500_000 else f"{count / 1e9:.3g} G"


def _giga(operations: int) -> str:
    return "-" if not operations else f"{operations / 1e9:,.4f}" if operations < 1e9 else f"{operations / 1e9:,.1f}"
