"""A dataset's numbers as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from trm_cli.console.tables import facts, number, table
from trm_cli.data.inspection import DatasetReport, Histogram, SplitReport
from trm_cli.units import disk_size

if TYPE_CHECKING:
    from trm_cli.workflows.inspect.dataset import DatasetInspection

_BAR_CELLS = 30


def show_report(console: Console, found: DatasetInspection) -> None:
    """Print what a dataset is, where it is from, its splits and the lengths of its rows, and whether it is complete."""
    report = found.report
    head = facts()
    manifest = report.manifest
    state = Text(report.state, "green" if report.state == "complete" else "bold yellow")
    head.add_row("dataset", Text(report.path))
    head.add_row("kind", report.kind)
    head.add_row("state", state)
    if manifest is not None:
        head.add_row("builder", Text(f"{manifest.builder}, seed {manifest.seed}"))
        head.add_row("licence", Text(manifest.licence))
    head.add_row("fingerprint", report.fingerprint[:16])
    head.add_row("on disk", f"{disk_size(report.bytes)} in {report.files:,} files")
    for split in list(report.splits.values())[:1]:
        meta = split.metadata
        head.add_row("vocabulary", f"{meta.vocab_size:,} tokens, sequence length {meta.seq_len:,}")
        head.add_row("identifiers", f"{meta.num_puzzle_identifiers:,}")
        if meta.augmentation is not None:
            head.add_row("augmentation", Text(_pairs(meta.augmentation)))
    console.print(head)
    console.print()
    _show_splits(console, report.splits)
    _show_sources(console, report)
    for name, split in report.splits.items():
        for histogram in split.histograms:
            _show_histogram(console, name, histogram)
    if found.damaged == []:
        console.print(f"verified: all {len(report.manifest.files) if report.manifest else 0:,} files are intact")


def dataset_document(found: DatasetInspection) -> dict[str, object]:
    """The same as plain data."""
    report = found.report
    return {
        "path": report.path,
        "kind": report.kind,
        "state": report.state,
        "builder": None if report.manifest is None else report.manifest.builder,
        "seed": None if report.manifest is None else report.manifest.seed,
        "licence": None if report.manifest is None else report.manifest.licence,
        "fingerprint": report.fingerprint,
        "bytes": report.bytes,
        "files": report.files,
        "sources": [dict(source) for source in report.sources],
        "splits": {
            name: {
                **split.metadata.to_json(),
                "rows": dict(split.kinds),
                "tokens_seen": split.tokens_seen,
                "lengths": [asdict(histogram) for histogram in split.histograms],
            }
            for name, split in report.splits.items()
        },
        "damaged": found.damaged,
    }


def _show_splits(console: Console, splits: Mapping[str, SplitReport]) -> None:
    view = table("split", "groups", "examples per puzzle", "puzzles", "tokens seen", "rows", right=(1, 2, 3, 4))
    for name, split in splits.items():
        meta = split.metadata
        view.add_row(
            name,
            f"{meta.total_groups:,}",
            number(meta.mean_puzzle_examples),
            f"{meta.total_puzzles:,}",
            f"{split.tokens_seen:,}",
            ", ".join(f"{count:,} {kind}{'s' if count != 1 else ''}" for kind, count in split.kinds.items()),
        )
    console.print(view)
    console.print()


def _show_sources(console: Console, report: DatasetReport) -> None:
    for source in report.sources:
        name = str(source.get("name", "source"))
        shown = ("kind", "location", "licence", "weight", "dropped") if "location" in source else tuple(source)
        rest = {key: source[key] for key in shown if source.get(key) and key not in ("name", "note")}
        console.print(Text.assemble((f"{name}: ", "bold"), _pairs(rest)))
        if source.get("note"):
            console.print(Text.assemble("  ", (str(source["note"]), "yellow")))
    if report.sources:
        console.print()


def _show_histogram(console: Console, split: str, histogram: Histogram) -> None:
    console.print(Text(f"{histogram.unit}, {histogram.rows:,} rows of {split}", "bold"))
    most = max(histogram.counts)
    width = len(f"{histogram.edges[-1]:,}")
    for low, high, count in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
        bar = "\N{FULL BLOCK}" * max(1 if count else 0, round(_BAR_CELLS * count / most))
        span = f"{low:>{width},}" if high - low == 1 else f"{low:>{width},} to {high - 1:>{width},}"
        console.print(Text.assemble(f"  {span}  ", (bar.ljust(_BAR_CELLS), "cyan"), f"  {count:,}"))
    console.print()


def _pairs(values: Mapping[str, object]) -> str:
    """Return a mapping as a sentence's worth of words."""
    parts = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            value = ", ".join(
                f"{count:,} {what}" if isinstance(count, int) else f"{what} {count}" for what, count in value.items()
            )
            parts.append(f"{key} {value}")
        elif isinstance(value, list):
            parts.append(f"{key} {' '.join(str(item) for item in value)}")
        else:
            parts.append(f"{key} {value}")
    return "; ".join(parts)
