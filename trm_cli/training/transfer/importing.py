"""Import weights of another program as a run, which can be evaluated, used to solve, and trained further."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trm_cli.config.compose import compose
from trm_cli.config.dump import dump_config
from trm_cli.errors import CheckpointError, UsageError
from trm_cli.paths import is_dir
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.puzzle_table import TABLE, move_table
from trm_cli.training.run.datasets import Datasets
from trm_cli.training.run.run import Run
from trm_cli.training.run.run_directory import RunDirectory
from trm_cli.training.transfer.compatibility import require_compatible
from trm_cli.training.transfer.foreign_weights import ForeignWeights, read_weights


@dataclass(frozen=True)
class ImportRequest:
    """What to import: a file, the architecture and dataset it is for, and the directory of the run.

    model: a recipe to train it further with; architecture: instead of the recipe's own. identifiers, new_table: see
    `move_table`.
    """

    file: Path
    run: Path
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

    Raises CheckpointError where the file does not fit, DatasetError and ConfigError for dataset and settings.
    """
    if RunDirectory(request.run).exists() or (is_dir(request.run) and any(request.run.glob("*.pt"))):
        raise CheckpointError(f"{request.run} already contains a run", hint="choose another directory: --out RUN")
    weights = read_weights(request.file)
    if weights.precision != "auto":
        notify(f"{request.file} was trained in {weights.precision}, so the run uses it (precision=auto to change that)")
    resolved = compose(request.model, _overrides(request, weights.precision))
    config = resolved.config
    if config.board_side is not None:
        raise UsageError(
            f"{config.arch.name} reads streams; only networks on rows of tokens can be imported",
            hint="--arch trm_sudoku, trm_maze, trm_arc, hrm ...: `trm configs list` shows them all",
        )
    datasets = Datasets.open(config)
    metadata, dataset = datasets.train.metadata, Path(config.data_paths[0])
    require_compatible(weights, config, metadata)
    weights, rows, known, unused = _with_table(weights, request, metadata.num_puzzle_identifiers, dataset)
    run = Run.prepare(config, dump_config(resolved), datasets, Machine.choose(config, metadata.seq_len), notify)
    path = _write(run, weights)
    return Imported(
        run=str(request.run),
        checkpoint=str(path),
        architecture=config.arch.name,
        dataset=str(dataset),
        original_names=weights.original,
        weights=len(weights.tensors),
        table_rows=rows,
        known_rows=known,
        unused_rows=unused,
    )


def _overrides(request: ImportRequest, precision: str) -> Sequence[str]:
    words = {
        "arch": request.architecture,
        "data_paths": None if request.dataset is None else f"[{request.dataset}]",
        "checkpoint_path": str(request.run),
        "precision": None if precision == "auto" else precision,
    }
    return [f"{key}={value}" for key, value in words.items() if value is not None]


def _with_table(
    weights: ForeignWeights, request: ImportRequest, count: int, dataset: Path
) -> tuple[ForeignWeights, int, int, int]:
    """The weights with their table mapped to the dataset; rows, matched rows and unused rows of it."""
    if TABLE not in weights.tensors:
        return weights, 0, 0, 0
    moved = move_table(
        weights.tensors[TABLE],
        count,
        dataset,
        identifiers=request.identifiers,
        new_rows=request.new_table,
        path=request.file,
    )
    tensors = {**weights.tensors, TABLE: moved.table}
    return replace(weights, tensors=tensors), count, moved.known, moved.unused


def _write(run: Run, weights: ForeignWeights) -> Path:
    """Load the weights into the run's state and write its directory with one checkpoint."""
    run.state.model.load_state_dict(weights.tensors)
    if run.state.ema is not None:
        run.state.ema.load_state_dict({name: weights.tensors[name] for name in run.state.ema.state_dict()})
    with run.directory.held(), run.directory.writing():
        identity = run.directory.begin(
            config=run.config_text,
            plan=run.plan.to_json(),
            dataset=run.datasets.identity(),
            threads=int(run.machine.threads.value),
        )
        run.store.save(run.state.step, run.state.state_dict(), run.summary(identity), best=False)
    return run.store.path(run.state.step)
