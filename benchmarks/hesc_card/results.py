"""The results of the card: a committed JSON list, one entry a run, and its table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.result_file import Entry

RESULTS = Path(__file__).parent / "results.json"


class Job(NamedTuple):
    """One run of the card. scale: share of the full processor time."""

    row: str
    model: str
    seed: int
    scale: float

    @property
    def name(self) -> str:
        """A name for files."""
        return f"{self.row}-{self.model}-{self.seed}-{self.scale:g}"


def job_of(entry: Entry) -> Job:
    """What an entry is the result of."""
    return Job(*(entry[field] for field in Job._fields))


def newest(entries: Sequence[Entry]) -> dict[Job, Entry]:
    """The last entry of each job: a run that was done again stands for what the code is now."""
    return {job_of(entry): entry for entry in entries}


def headline(scores: dict[str, Any]) -> tuple[float, str]:
    """The number that a row is judged by, and how it is written."""
    if "bits_per_byte" in scores:
        return float(scores["bits_per_byte"]), "{:.3f}"
    return 100 * float(scores["mean"]), "{:.1f}"


def of_kinds(scores: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The scores of each kind of row, by the words that follow the row's name: none where there is one kind."""
    several = {kind: scores[kind] for kind in ("grids", "text", "pictures") if kind in scores}
    return {f" {kind}": found for kind, found in several.items()} or {"": scores}


def table(entries: Sequence[Entry]) -> str:
    """Medians and ranges over seeds as Markdown, a line for each row, model and scale."""
    found: dict[tuple[str, str, float], list[tuple[Entry, dict[str, Any]]]] = {}
    for job, entry in newest(entries).items():
        for kind, scores in of_kinds(entry["scores"]).items():
            found.setdefault((job.row + kind, job.model, job.scale), []).append((entry, scores))
    lines = [
        "| row | model | time | seeds | parameters | updates, CPU-s | result: median (range) | worst of its parts |"
    ]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (row, model, scale), of_seeds in sorted(found.items()):
        numbers, form = [headline(scores)[0] for _, scores in of_seeds], headline(of_seeds[0][1])[1]
        median, spread = form.format(statistics.median(numbers)), ""
        if len(numbers) > 1:
            spread = f" ({form.format(min(numbers))} to {form.format(max(numbers))})"
        last, scores = of_seeds[-1]
        lines.append(
            f"| {row} | {model} | {scale:g} | {len(numbers)} | {last['parameters']:,} "
            f"| {last['updates']:,}, {last['processor_seconds']:.0f} | {median}{spread} | {_worst(scores)} |"
        )
    return "\n".join(lines)


def _worst(scores: dict[str, Any]) -> str:
    groups = scores.get("groups", {})
    if len(groups) < 2:
        return ""
    name, value = scores["worst"]
    return f"{name} {100 * value:.0f}"
