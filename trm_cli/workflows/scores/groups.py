"""Summarise the runs of a group, which differ by their seed: mean accuracy with its intervals, and each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from trm_cli.evaluation.scores.paired import bootstrap_interval, t_interval


def summarise_group(values: Mapping[str, float]) -> dict[str, Any]:
    """The mean of exact accuracies by run, with its 95 % intervals (null for fewer than two runs)."""
    numbers = list(values.values())
    return {
        "seeds": len(numbers),
        "exact": dict(values),
        "mean": mean(numbers) if numbers else None,
        "t_interval": t_interval(numbers),
        "bootstrap_interval": bootstrap_interval(numbers),
    }


def last_accuracies(runs: Sequence[Path]) -> dict[str, float]:
    """The exact accuracy of the last evaluation that each run made in training, by its name."""
    from trm_cli.training.recording.metrics_log import read_records
    from trm_cli.training.run_files import METRICS

    found = {}
    for run in runs:
        records = read_records(run / METRICS) if (run / METRICS).exists() else []
        values = [record["exact_accuracy"] for record in records if record.get("kind") == "eval"]
        if values and values[-1] is not None:
            found[run.name] = float(values[-1])
    return found
