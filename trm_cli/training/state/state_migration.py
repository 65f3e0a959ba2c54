"""Migrate a saved state of an older format to the present one: one function for each format.

Format 2 added `identifiers` (what each row of the puzzle table stands for) and `skipped`, `skipped_in_a_row`
(updates that changed no weight), and judges the best step by `best_score`, which was `best_exact_accuracy`.
"""

from __future__ import annotations

from typing import Any

from trm_cli.errors import CheckpointError

STATE_FORMAT = 2


def migrate(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state in the present format; the argument is not changed.

    Raises CheckpointError for a format that this program does not know.
    """
    version = state.get("format")
    if not isinstance(version, int) or version < 1:
        raise CheckpointError(f"unknown checkpoint format: {version!r}")
    if version > STATE_FORMAT:
        raise CheckpointError(
            f"the checkpoint has format {version}; this version of trm reads formats up to {STATE_FORMAT}",
            hint="it was written by a newer version of trm: update trm",
        )
    try:
        return state if version == STATE_FORMAT else _from_1(state)
    except KeyError as error:
        raise CheckpointError(f"a checkpoint of format {version} without {error}") from error


def _from_1(state: dict[str, Any]) -> dict[str, Any]:
    """1 -> 2: names of the rows were not recorded (the next checkpoint does), and no update was skipped."""
    kept = {name: value for name, value in state.items() if name != "best_exact_accuracy"}
    added = {"identifiers": None, "skipped": 0, "skipped_in_a_row": 0, "best_score": state["best_exact_accuracy"]}
    return {**kept, **added, "format": 2}
