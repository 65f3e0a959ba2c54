"""Import weights of another program as a run, which can be evaluated, used to solve, and trained further."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import CheckpointError, UsageError
from trm_cli.paths import is_dir
from trm_cli.training.hub import HUB, fetch_file

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.training.run.run import Run
    from trm_cli.training.state.puzzle_table import MovedTable
    from trm_cli.training.transfer.foreign_weights import ForeignWeights


@dataclass(frozen=True)
class ImportRequest:
    """What to import: a file, here or on the hub, and what it is for: an architecture and a dataset, or a model.

    file: a path, or `hf:OWNER/NAME/FILE`. run: the directory of the run; default: named after the file. model: a
    recipe to train it further with; architecture: instead of its own. identifiers, new_table: see `move_table`.
    """

    file: Path
    run: Path | None = None
    architecture: str | None = None
    model: str | None = None
    dataset: Path | None = None
    identifiers: Path | None = None
    new_table: bool = False


@dataclass(frozen=True)
class Imported:
    """The result of an import. table_rows: 0 without a puzzle table; known_rows: how many were matched by name."""

    run: str
    checkpoint: str
    architecture: str
    dataset: str
    original_names: bool
    weights: int
    table_rows: int
    known_rows: int
    unused_rows: int


def import_weights(request: ImportRequest, notify: Callable[[str], None]) -> Imported:
    """Make a run at step 0 from a file of weights, which become both raw and averaged weights.

    Raises UsageError for an incomplete request, CheckpointError where the file does not fit, DatasetError and
    ConfigError for dataset and settings.
    """
    request, path = _checked(request)
    from trm_cli.config.dump import dump_config, override
    from trm_cli.training.hardware.torch_runtime import prepare_threads
    from trm_cli.training.run.datasets import Datasets

    file, resolved = request.file, _composed(request, path)
    datasets = Datasets.open(resolved.config)
    metadata, dataset = datasets.train.metadata, resolved.config.data_paths[0]

    notify(f"reading {file}")
    prepare_threads()  # up to here without torch, which takes seconds to load
    from trm_cli.training.hardware.machine import Machine
    from trm_cli.training.run.run import Run
    from trm_cli.training.transfer.compatibility import require_compatible
    from trm_cli.training.transfer.foreign_weights import read_weights

    weights = read_weights(file)
    if weights.precision != "auto":
        notify(f"{file} was trained in {weights.precision}, so the run uses it (precision=auto to change that)")
        resolved = _composed(request, path, override("precision", weights.precision))
    config = resolved.config
    require_compatible(weights, config, metadata)
    weights, moved = _moved_table(weights, metadata.num_puzzle_identifiers, dataset, request)
    run = Run.prepare(config, dump_config(resolved), datasets, Machine.choose(config, metadata.seq_len), notify)
    return Imported(
        run=str(path),
        checkpoint=str(_write(run, weights)),
        architecture=config.arch.name,
        dataset=dataset,
        original_names=weights.original,
        weights=len(weights.tensors),
        table_rows=len(moved.table) if moved else 0,
        known_rows=moved.known if moved else 0,
        unused_rows=moved.unused if moved else 0,
    )


def _checked(request: ImportRequest) -> tuple[ImportRequest, Path]:
    """The request with its file on this machine, and the directory of the run. Raises TrmError."""
    from trm_cli.training.run_files import is_run

    if request.model is None and (request.architecture is None or request.dataset is None):
        raise UsageError("what is this file for? name --arch and --dataset, or --model", hint="trm configs list")
    if str(request.file).startswith(HUB):
        request = replace(request, file=fetch_file(str(request.file)))
    if not os.path.lexists(request.file):  # a link in a circle is told when it is read
        raise CheckpointError(f"{request.file} does not exist")
    name = request.file.name.removesuffix(".safetensors").removesuffix(".pt")
    path = request.run or Path("checkpoints") / f"imported-{name}"
    if is_run(path) or (is_dir(path) and any(path.glob("*.pt"))):
        raise CheckpointError(f"{path} already contains a run", hint="choose another directory: --out RUN")
    return request, path


def _composed(request: ImportRequest, path: Path, *further: str) -> Resolved:
    """The configuration of the run at `path`. further: words after those of the request. Raises UsageError."""
    from trm_cli.config.compose import compose
    from trm_cli.config.dump import override

    settings = {
        "arch": request.architecture,
        "data_paths": None if request.dataset is None else [str(request.dataset)],
        "checkpoint_path": str(path),
    }
    words = [override(key, value) for key, value in settings.items() if value is not None]
    resolved = compose(request.model, [*words, *further])
    if resolved.config.board_side is not None:
        raise UsageError(
            f"{resolved.config.arch.name} reads streams; only networks on rows of tokens can be imported",
            hint="--arch trm_sudoku, trm_maze, trm_arc, hrm ...: `trm configs list` shows them all",
        )
    return resolved


def _moved_table(
    weights: ForeignWeights, count: int, dataset: str, request: ImportRequest
) -> tuple[ForeignWeights, MovedTable | None]:
    """The weights with their puzzle table moved to the `count` identifiers of the dataset; None: they have no table."""
    from trm_cli.training.state.puzzle_table import TABLE, move_table

    table = weights.tensors.get(TABLE)
    if table is None:
        return weights, None
    moved = move_table(
        table,
        count,
        Path(dataset),
        identifiers=request.identifiers,
        new_rows=request.new_table,
        path=request.file,
    )
    return replace(weights, tensors={**weights.tensors, TABLE: moved.table}), moved


def _write(run: Run, weights: ForeignWeights) -> Path:
    """Load the weights into the run's state and write its directory with one checkpoint."""
    run.state.model.load_state_dict(weights.tensors)
    if run.state.ema is not None:
        run.state.ema.load_state_dict({name: weights.tensors[name] for name in run.state.ema.state_dict()})
    with run.directory.held(), run.directory.writing():
        run.store.save(run.state.step, run.state.state_dict(), run.begin(), best=False)
    return run.store.path(run.state.step)
