"""The outcome of an evaluation row by row, kept beside its result, so that two models are compared puzzle by puzzle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.files.durable import atomic_file
from trm_cli.evaluation.partial_results import Columns, read_columns

NAME = "rows.npz"


@dataclass(frozen=True)
class Outcomes:
    """places int64 [N]: where the rows stand in the dataset; right bool [N]; features: difficulty by name, [N] each."""

    places: NDArray[np.int64]
    right: NDArray[np.bool_]
    features: dict[str, NDArray[np.integer]]

    def of(self, places: NDArray[np.int64]) -> Outcomes:
        """The rows at some of the places."""
        chosen = np.isin(self.places, places)
        order = np.argsort(self.places[chosen])
        features = {name: values[chosen][order] for name, values in self.features.items()}
        return Outcomes(self.places[chosen][order], self.right[chosen][order], features)


def write_outcomes(folder: Path, columns: Columns) -> None:
    """Write the outcomes of all rows that have a label. columns: those of `rows.Scorer`. Raises OSError."""
    asked = columns["asked"] > 0
    kept = {"place": columns["place"], "right": columns["right"][:, 0].astype(bool)}
    kept |= {name: values for name, values in columns.items() if name.startswith("feature/")}
    with atomic_file(folder / NAME) as stream:
        np.savez_compressed(stream, **{name: values[asked] for name, values in kept.items()})  # type: ignore[arg-type]


def read_outcomes(folder: Path) -> Outcomes | None:
    """Read the outcomes of an evaluation; None where there are none, or the file is damaged."""
    columns = read_columns(folder / NAME)
    if columns is None or not columns.keys() >= {"place", "right"}:
        return None
    if any(one.shape != (len(columns["place"]),) for one in columns.values()):
        return None
    features = {name.partition("/")[2]: one for name, one in columns.items() if name.startswith("feature/")}
    return Outcomes(columns["place"], columns["right"], features)
