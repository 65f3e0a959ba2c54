"""Show a dataset as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.text import Text

from trm_cli.console.tables import counted, facts, number, table
from trm_cli.data.stream.storage.shares import share_line
from trm_cli.units import disk_size

if TYPE_CHECKING:
    from trm_cli.data.inspection import DatasetReport, Histogram, SplitReport
    from trm_cli.workflows.inspect.dataset import DatasetInspection, ShardState

_BAR_CELLS = 30
_LABELS = 12  # that are shown with their counts


def show_report(console: Console, found: DatasetInspection) -> None:
    """Print the facts of a dataset, its splits, its sources, and the lengths of its rows."""
    report = found.report
    console.print(facts(_facts(report)))
    console.print()
    _show_splits(console, report.splits)
    _show_sources(console, report)
    for name, split in report.splits.items():
        if split.labels:
            console.print(Text.assemble((f"labels of {name}: ", "bold"), _most(split.labels)))
            console.print()
        for histogram in split.histograms:
            _show_histogram(console, name, histogram)
    if found.unverified:
        console.print("not verified: there is no manifest.json to compare with (a dataset of another program)")
    if found.damaged == []:
        console.print(f"verified: all {len(report.manifest.files) if report.manifest else 0:,} files are intact")


def shards_screen(states: Sequence[ShardState]) -> RenderableType:
    """A row for each part of a build, or each file of a dataset."""
    if not states:
        return "no parts: this build has no shards, or none has begun"
    styles = {"missing": "red", "damaged": "red", "intact": "green", "ended": "green"}
    rows = [
        (one.name, Text(one.state, styles.get(one.state, "yellow")), disk_size(one.bytes) if one.bytes else "")
        for one in states
    ]
    return table("part", "state", "size", right=(2,), rows=rows)


def _facts(report: DatasetReport) -> Iterator[tuple[str, str | Text]]:
    yield "dataset", report.path
    yield "kind", report.kind
    yield "state", Text(report.state, "green" if report.state == "complete" else "bold yellow")
    if report.manifest is not None:
        yield "builder", f"{report.manifest.builder}, seed {report.manifest.seed}"
        yield "licence", report.manifest.licence
    yield "fingerprint", report.fingerprint[:16]
    yield "on disk", f"{disk_size(report.bytes)} in {report.files:,} files"
    for split in list(report.splits.values())[:1]:
        meta = split.metadata
        yield "vocabulary", f"{meta.vocab_size:,} tokens, sequence length {meta.seq_len:,}"
        yield "identifiers", f"{meta.num_puzzle_identifiers:,}"
        if meta.augmentation is not None:
            yield "augmentation", _pairs(meta.augmentation)


def dataset_document(found: DatasetInspection) -> dict[str, object]:
    """Describe a dataset as plain data."""
    report = found.report
    return {
        "path": report.path,
        "kind": report.kind,
        "state": report.state,
        **{name: getattr(report.manifest, name, None) for name in ("builder", "seed", "licence")},
        "fingerprint": report.fingerprint,
        "bytes": report.bytes,
        "files": report.files,
        "sources": [dict(source) for source in report.sources],
        "limits": {} if report.manifest is None else report.manifest.limits,
        "splits": {
            name: {
                **split.metadata.to_json(),
                "rows": dict(split.kinds),
                "tokens_seen": split.tokens_seen,
                "lengths": [asdict(histogram) for histogram in split.histograms],
                "labels": dict(split.labels),
            }
            for name, split in report.splits.items()
        },
        "damaged": found.damaged,
    }


def _show_splits(console: Console, splits: Mapping[str, SplitReport]) -> None:
    view = table("split", "groups", "examples per puzzle", "puzzles", "tokens seen", "rows", right=(1, 2, 3, 4))
    for name, split in splits.items():
        meta, rows = split.metadata, ", ".join(counted(count, kind) for kind, count in split.kinds.items())
        counts = (f"{meta.total_groups:,}", number(meta.mean_puzzle_examples), f"{meta.total_puzzles:,}")
        view.add_row(name, *counts, f"{split.tokens_seen:,}", rows)
    console.print(view)
    for name, split in splits.items():
        if shares := share_line(split.metadata.extra.get("kinds")):
            console.print(f"{name}: {shares}")
    console.print()


def _show_sources(console: Console, report: DatasetReport) -> None:
    for source in report.sources:
        name = str(source.get("name", "source"))
        shown = ("kind", "location", "licence", "weight", "dropped") if "location" in source else tuple(source)
        rest = {key: source[key] for key in shown if source.get(key) and key not in ("name", "note")}
        console.print(Text.assemble((f"{name}: ", "bold"), _pairs(rest)))
        if source.get("note"):
            console.print(Text.assemble("  ", (str(source["note"]), "yellow")))
    for line in [] if report.manifest is None else report.manifest.limit_lines():
        console.print(Text(line, "yellow"))
    if report.sources:
        console.print()


def _show_histogram(console: Console, split: str, histogram: Histogram) -> None:
    title = f"{histogram.unit}, {histogram.rows:,} rows of {split}"
    if len(histogram.counts) == 1 and histogram.edges[1] - histogram.edges[0] == 1:  # one bar would say no more
        console.print(Text.assemble((title, "bold"), f": all {histogram.edges[0]:,}"))
        return
    console.print(Text(title, "bold"))
    most = max(histogram.counts)
    width = len(f"{histogram.edges[-1]:,}")
    for low, high, count in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
        bar = "\N{FULL BLOCK}" * max(1 if count else 0, round(_BAR_CELLS * count / most))
        span = f"{low:>{width},}" if high - low == 1 else f"{low:>{width},} to {high - 1:>{width},}"
        console.print(Text.assemble(f"  {span}  ", (bar.ljust(_BAR_CELLS), "cyan"), f"  {count:,}"))
    console.print()


def _most(labels: Mapping[str, int]) -> str:
    """Format the commonest labels, and how many others there are."""
    shown = [f"{label} {count:,}" for label, count in list(labels.items())[:_LABELS]]
    return ", ".join(shown) + (f", and {len(labels) - _LABELS:,} others" if len(labels) > _LABELS else "")


def _pairs(values: Mapping[str, object]) -> str:
    """Format the names and values of a mapping in one line."""
    return "; ".join(f"{name} {_words(value)}" for name, value in values.items())


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{count:,} {what}" if isinstance(count, int) else f"{what} {count}" for what, count in value.items()
        )
    return " ".join(str(item) for item in value) if isinstance(value, list) else str(value)
