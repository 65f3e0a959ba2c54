"""Map the rows of a learned puzzle table to the identifiers of another dataset: by name, never by position.

The rows of two builds of "the same" dataset mean different puzzles wherever the builds differ, and nothing in a model
would show it except that it answers wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.data.arc.identifiers import NO_TASK, ArcIdentifiers, read_identifiers
from trm_cli.data.puzzles.identifier_map import IdentifierMap
from trm_cli.errors import CheckpointError

#: The name of the table among the weights of a model.
TABLE = "puzzle_embedding.weight"
_LISTED = 3


@dataclass(frozen=True)
class MovedTable:
    """A table [N, E] for the identifiers of a dataset. known: rows matched by name; the others are the mean.

    unused: rows of the file that this dataset has no identifier for.
    """

    table: Tensor
    known: int
    unused: int


def move_table(
    table: Tensor, count: int, dataset: Path, *, identifiers: Path | None, new_rows: bool, path: Path
) -> MovedTable:
    """A table [M, E] of `path` as one of the `count` identifiers of `dataset`.

    identifiers: the `identifiers.json` of the dataset that the table was trained on. new_rows: identifiers that it does
    not know, or all where none are given, begin with the mean of its rows, as in the original code.
    Raises CheckpointError where rows cannot be matched by name, DatasetError where names cannot be read.
    """
    if len(table) == count == 1 and identifiers is None:
        return MovedTable(table, known=1, unused=0)
    if identifiers is None and not new_rows:
        raise CheckpointError(
            f"{path} has a puzzle table of {len(table):,} rows, {dataset} has {count:,} identifiers; which row "
            "belongs to which puzzle is unknown",
            hint="--identifiers FILE: the identifiers.json of the dataset that it was trained on; or "
            "--new-puzzle-table: every row begins with the mean of the old ones",
        )
    if identifiers is None:
        return move_rows(table, None, count)
    before, now = read_identifiers(identifiers), read_identifiers(dataset)
    _require_length(before, len(table), identifiers, f"the table of {path}", "rows")
    _require_length(now, count, dataset, f"{dataset}", "identifiers")
    rows = IdentifierMap.of_tasks(before).rows_for(IdentifierMap.of_tasks(now))
    if not new_rows and (rows < 0).any():
        raise _unknown(before, now, rows, identifiers)
    return move_rows(table, rows, count)


def move_rows(table: Tensor, rows: NDArray[np.int64] | None, count: int, *, zero: bool = False) -> MovedTable:
    """The table [M, E] as one of `count` identifiers. rows: for each its row in the table, or -1; None: none is known.

    An identifier without a row begins with the mean of all rows, as in the original code, or where `zero` with zeros.
    """
    mean = table.mean(0, keepdim=True)
    moved = (torch.zeros_like(mean) if zero else mean).repeat(count, 1)
    if rows is None:
        return MovedTable(moved, known=0, unused=len(table))
    known = torch.from_numpy(rows >= 0)
    moved[known] = table[torch.from_numpy(rows)[known]]
    return MovedTable(moved, known=int(known.sum()), unused=len(table) - len(np.unique(rows[rows >= 0])))


def _require_length(names: ArcIdentifiers, count: int, source: Path, of_what: str, noun: str) -> None:
    if len(names) != count:
        raise CheckpointError(
            f"{source} names {len(names):,} identifiers, {of_what} has {count:,} {noun}",
            hint="the identifiers.json is needed that was built together with the training set",
        )


def _unknown(
    before: ArcIdentifiers, now: ArcIdentifiers, rows: NDArray[np.int64], identifiers: Path
) -> CheckpointError:
    missing = np.flatnonzero(rows < 0)
    named = ", ".join(now.name(int(row)) for row in missing[:_LISTED])
    more = f" and {len(missing) - _LISTED:,} more" if len(missing) > _LISTED else ""
    tasks = {now.tasks[owner] for owner in np.unique(now.owners[missing]) if owner != NO_TASK} - set(before.tasks)
    whole = f"; {len(tasks):,} of its tasks are wholly unknown there" if tasks else ""
    return CheckpointError(
        f"{identifiers} knows {len(now) - len(missing):,} of the {len(now):,} identifiers of the dataset, and not "
        f"{named}{more}{whole}",
        hint="build the dataset as it was, or --new-puzzle-table: unknown rows begin with the mean of the old ones",
    )
