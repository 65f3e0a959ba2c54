"""Write the predictions of an evaluation as a table, one line per row and restart: npz, or parquet with pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.files.durable import atomic_file
from trm_cli.errors import TrmError, UsageError
from trm_cli.evaluation.partial_results import Columns
from trm_cli.paths import is_dir

FORMATS = (".npz", ".parquet")


def check_format(path: Path) -> None:
    """Check before the evaluation that the file can be written after it. Raises UsageError."""
    if path.suffix not in FORMATS:
        raise UsageError(f"--predictions {path}: the name must end in {' or '.join(FORMATS)}")
    if not is_dir(path.absolute().parent):
        raise UsageError(f"--predictions {path}: the folder {path.absolute().parent} does not exist")
    if path.suffix == ".parquet":
        _pyarrow()


def write_predictions(path: Path, columns: Columns) -> None:
    """Write the table: place, identifier, restart, answer [L], q_halt, steps, halted_at, right, tokens_right, asked.

    columns: those of `rows.columns_of` with their answers. Raises TrmError where the disk fails.
    """
    table = as_table(columns)
    try:
        with atomic_file(path) as stream:
            if path.suffix == ".npz":
                np.savez_compressed(stream, **table)  # type: ignore[arg-type]
            else:
                _write_parquet(stream, table)
    except OSError as error:
        raise TrmError(f"{path} cannot be written: {error.strerror or error}") from error


def as_table(columns: Columns) -> Columns:
    """Make one entry for each row and restart, [N * K, ...]: the restarts of a row follow each other."""
    rows, restarts = columns["right"].shape
    table: Columns = {
        name: np.repeat(columns[name], restarts) for name in ("place", "identifier", "asked") if name in columns
    }
    table["restart"] = np.tile(np.arange(restarts, dtype=np.int32), rows)
    for name in ("q_halt", "steps", "halted_at", "right", "tokens_right"):
        table[name] = columns[name].reshape(-1)
    answers = columns["answers"]
    table["answer"] = answers.reshape(rows * restarts, answers.shape[-1])
    return table


def _write_parquet(stream: Any, table: Columns) -> None:
    pyarrow, parquet = _pyarrow()
    arrays = {name: _arrow_array(pyarrow, values) for name, values in table.items()}
    parquet.write_table(pyarrow.table(arrays), stream, compression="zstd")


def _arrow_array(pyarrow: Any, values: NDArray[Any]) -> Any:
    if values.ndim == 1:
        return pyarrow.array(values)
    flat = pyarrow.array(np.ascontiguousarray(values).reshape(-1))
    return pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "writing parquet needs pyarrow, which is not installed", hint="name a file that ends in .npz"
        ) from error
    return pyarrow, pyarrow.parquet
