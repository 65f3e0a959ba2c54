"""Summarise the columns of an evaluation as metrics, each with its count and its 95 % interval.

A row is scored where it has a label at all. exact: all tokens that are asked for are right. token: mean over the rows
of the share of right tokens. Where there were restarts, these are the numbers of the first, the published start. Kinds
of rows are not pooled: all but `by_kind` is of the puzzles where there are any, else of the pictures, else of the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc.identifiers import NO_TASK, ArcIdentifiers
from trm_cli.data.stream.records import GRID, KIND_NAMES, PICTURE, TEXT
from trm_cli.evaluation.partial_results import Columns
from trm_cli.evaluation.scores import choosing
from trm_cli.evaluation.scores.calibration import calibration
from trm_cli.evaluation.scores.difficulty import by_difficulty
from trm_cli.evaluation.scores.intervals import Share

Flags = NDArray[np.bool_]

#: The first kind that there is any row of is judged; see `Accuracy.judged_by`.
_JUDGED_FIRST = (GRID, PICTURE, TEXT)


def joined(columns: list[Columns]) -> Columns:
    """Concatenate the columns of batches."""
    return {name: np.concatenate([batch[name] for batch in columns]) for name in columns[0]}


def summarise(columns: Columns, most: int | None = None) -> dict[str, Any]:
    """Compute all metrics but the ARC vote: accuracy, difficulty, calibration, steps, restarts.

    most: passes over a row at the most, where they are made until it is solved.
    """
    columns = {name: values[columns["asked"] > 0] for name, values in columns.items()}
    by_kind, judged = _kinds(columns)
    columns = _rows(columns, judged)
    right: Flags = columns["right"][:, 0].astype(bool)
    tokens = columns["tokens_right"][:, 0] / columns["asked"]
    features = {name.partition("/")[2]: values for name, values in columns.items() if name.startswith("feature/")}
    document = {
        "count": len(right),
        "exact": _share(right),
        "token": Share(min(float(tokens.sum()), len(tokens)), len(tokens)).to_json(),
        "by_difficulty": by_difficulty(features, right, tokens),
        "q_halt": calibration(columns["q_halt"][:, 0], right),
        "steps": _steps(columns),
    }
    if by_kind:
        document |= {"judged": next(iter(by_kind)), "by_kind": by_kind}
    if "valid" in columns:
        document["valid"] = _share(columns["valid"][:, 0])
    if columns["right"].shape[1] > 1:
        document["restarts"] = _restarts(columns)
    if "checked/passes" in columns:
        document["checked"] = _checked(columns, most or 1)
    return document


def _kinds(columns: Columns) -> tuple[dict[str, Any], Flags]:
    """Compute the figures of each kind of row that there is, and which rows are of the kind that is judged.

    Puzzles that are no records of a stream have no kind.
    """
    everything = np.ones(len(columns["asked"]), bool)
    if "feature/record" in columns:
        kinds = columns.pop("feature/record")
    elif "bytes" in columns:
        kinds = np.full(len(everything), TEXT)
    else:
        return {}, everything
    present = [number for number in _JUDGED_FIRST if (kinds == number).any()]
    by_kind = {KIND_NAMES[one]: _of_kind(KIND_NAMES[one], _rows(columns, kinds == one)) for one in present}
    return by_kind, kinds == present[0] if present else everything


def _rows(columns: Columns, rows: Flags) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _of_kind(name: str, columns: Columns) -> dict[str, Any]:
    """Compute what a kind is judged by: grids by whole answers and cells, text by bits, pictures by class."""
    right, count = columns["right"][:, 0], len(columns["right"])
    found: dict[str, Any] = {"rows": count, "mean_steps": float(columns["steps"][:, 0].mean())}
    if name == "text":
        bits, letters = float(columns["nats"][:, 0].sum() / np.log(2)), int(columns["bytes"].sum())
        bits_per_token = bits / int(columns["asked"].sum())
        per_byte = bits / letters if letters else None
        return {**found, "bytes": letters, "bits_per_byte": per_byte, "bits_per_token": bits_per_token}
    if name == "grid":
        found["token"] = _token_share(columns["tokens_right"][:, 0], columns["asked"])
    return {**found, "exact": _share(right)}


def _share(hits: NDArray[Any]) -> dict[str, Any]:
    return Share(int(hits.sum()), len(hits)).to_json()


def _steps(columns: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Summarise the steps taken, the steps at which rows halt, and the accuracy after every step."""
    taken, halted_at = columns["steps"][:, 0].astype(int), columns["halted_at"][:, 0].astype(int)
    right_after: Flags = columns["right_after"][:, 0].astype(bool)
    depth = right_after.shape[1]
    wanted = np.where(halted_at == 0, depth, halted_at)
    rows = np.arange(len(taken))
    return {
        "mean": float(taken.mean()) if len(taken) else None,
        "distribution": _histogram(taken, depth),
        "halting": {
            "never": int((halted_at == 0).sum()),
            "mean": float(wanted.mean()) if len(taken) else None,
            "distribution": _histogram(halted_at, depth),
            # What early halting would score, from the same answers.
            "exact": _share(right_after[rows, wanted - 1]),
        },
        "exact_after": [_share(right_after[:, step]) for step in range(depth)],
        "residual_after": [_finite(value) for value in columns["residuals"][:, 0].astype(float).mean(0)],
    }


def _finite(value: float) -> float | None:
    """None for the mean of no rows, or of a network that diverged."""
    return float(value) if np.isfinite(value) else None


def _checked(columns: Mapping[str, NDArray[Any]], most: int) -> dict[str, Any]:
    """Summarise passes until an answer keeps the rules: rows that have one after 1, 2, 4 .. passes, and the cost."""
    passes, right = columns["checked/passes"].astype(int), columns["checked/right"].astype(bool)
    limits = sorted({2**power for power in range(most.bit_length())} | {most})
    return {
        "most": most,
        "curve": [
            {
                "passes": limit,
                "valid": _share((passes > 0) & (passes <= limit)),
                "exact": _share(right & (passes <= limit)),
            }
            for limit in limits
        ],
        "mean_passes": _finite(np.where(passes > 0, passes, most).mean()) if len(passes) else None,
        "mean_steps": _finite(columns["checked/steps"].mean()) if len(passes) else None,
    }


def _histogram(values: NDArray[np.int_], depth: int) -> list[int]:
    """Count the rows by step 1 .. depth; 0 is left out."""
    return [int(count) for count in np.bincount(values, minlength=depth + 1)[1:]]


def _restarts(columns: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    right: Flags = columns["right"].astype(bool)  # [N, K]
    every: Flags = columns["unanimous"].astype(bool)
    single = [_share(right[:, restart]) for restart in range(right.shape[1])]
    return {
        "count": right.shape[1],
        "single": single,
        "mean": float(right.mean()) if len(right) else None,
        "chosen": {
            rule: {
                "exact": _share(columns[f"chosen/{rule}"]),
                "token": _token_share(columns[f"chosen_tokens/{rule}"], columns["asked"]),
            }
            for rule in (*choosing.RULES, "checked")
            if f"chosen/{rule}" in columns
        },
        # Where all attempts agree, and how often they are right there: an answer that can be trusted, or none.
        "unanimous": {"rows": _share(every), "exact": _share(right[every, 0])},
        # No rule can do better than this.
        "any": _share(np.asarray(right.any(1))),
    }


def _token_share(hits: NDArray[Any], asked: NDArray[Any]) -> dict[str, Any]:
    shares = hits.astype(float) / asked.astype(float)
    return Share(min(float(shares.sum()), len(shares)), len(shares)).to_json()


def shares_by_task(columns: Mapping[str, NDArray[Any]], identifiers: ArcIdentifiers) -> dict[str, Share]:
    """Compute the share of right rows (first restart) of each ARC task."""
    owners = identifiers.owners[columns["identifier"].astype(np.int64)]
    right: Flags = columns["right"][:, 0].astype(bool)
    return {
        identifiers.tasks[owner]: Share(int(right[owners == owner].sum()), int((owners == owner).sum()))
        for owner in np.unique(owners[owners != NO_TASK]).tolist()
    }
