"""Weights from elsewhere become a run: a directory that can be solved with, evaluated, and trained further."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trm_cli.config.compose import compose
from trm_cli.config.dump import dump_config
from trm_cli.errors import CheckpointError, UsageError
from trm_cli.training.run.run_directory import RunDirectory
from trm_cli.training.run.session import Datasets, Machine, Run
from trm_cli.training.transfer.fitting import require_fit
from trm_cli.training.transfer.layout import TABLE
from trm_cli.training.transfer.puzzle_table import move_table
from trm_cli.training.transfer.reading import ForeignWeights, read_weights


@dataclass(frozen=True)
class ImportRequest:
    """What is to be imported: a file, the architecture and data it is for, and where the run goes.

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
    """What became of a file. table_rows 0 where the model has no puzzle table; known_rows came over by name."""

    run: str
    checkpoint: str
    architecture: str
    dataset: str
    original_names: bool
    weights: int
    table_rows: int
    known_rows: int
    unused_rows: int

    def to_json(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)


def import_weights(wanted: ImportRequest, notify: Callable[[str], None]) -> Imported:
    """Make a run of a file of weights, at step 0, with raw and averaged weights alike.

    Raises CheckpointError where the file does not fit, DatasetError and ConfigError for the rest.
    """
    if RunDirectory(wanted.run).exists() or (wanted.run.is_dir() and any(wanted.run.glob("*.pt"))):
        raise CheckpointError(f"{wanted.run} is a run already", hint="choose another directory: --out RUN")
    weights = read_weights(wanted.file)
    if weights.precision != "auto":
        notify(
            f"{wanted.file} was made in {weights.precision}, so the run computes in it (precision=auto to change that)"
        )
    resolved = compose(wanted.model, _overrides(wanted, weights.precision))
    config = resolved.config
    if config.canvas_size is not None:
        raise UsageError(
            f"{config.arch.name} reads a canvas; networks on rows of tokens can be imported",
            hint="--arch trm_sudoku, trm_maze, trm_arc, hrm ...: `trm configs list` shows them all",
        )
    datasets = Datasets.open(config)
    metadata, dataset = datasets.train.metadata, Path(config.data_paths[0])
    require_fit(weights, config, metadata)
    weights, rows, known, unused = _with_table(weights, wanted, metadata.num_puzzle_identifiers, dataset)
    run = Run.prepare(config, dump_config(resolved), datasets, Machine.choose(config, metadata.seq_len), notify)
    path = _write(run, weights)
    return Imported(
        run=str(wanted.run),
        checkpoint=str(path),
        architecture=config.arch.name,
        dataset=str(dataset),
        original_names=weights.original,
        weights=len(weights.tensors),
        table_rows=rows,
        known_rows=known,
        unused_rows=unused,
    )


def _overrides(wanted: ImportRequest, precision: str) -> Sequence[str]:
    words = {
        "arch": wanted.architecture,
        "data_paths": None if wanted.dataset is None else f"[{wanted.dataset}]",
        "checkpoint_path": str(wanted.run),
        "precision": None if precision == "auto" else precision,
    }
    return [f"{key}={value}" for key, value in words.items() if value is not None]


def _with_table(
    weights: ForeignWeights, wanted: ImportRequest, count: int, dataset: Path
) -> tuple[ForeignWeights, int, int, int]:
    """The weights with their table moved to the dataset; rows, known rows and unused rows of it."""
    if TABLE not in weights.tensors:
        return weights, 0, 0, 0
    moved = move_table(
        weights.tensors[TABLE],
        count,
        dataset,
        identifiers=wanted.identifiers,
        new_rows=wanted.new_table,
        path=wanted.file,
    )
    tensors = {**weights.tensors, TABLE: moved.table}
    return replace(weights, tensors=tensors), count, moved.known, moved.unused


def _write(run: Run, weights: ForeignWeights) -> Path:
    """Put the weights into the run's state and write its directory with one checkpoint."""
    run.state.model.load_state_dict(weights.tensors)
    if run.state.ema is not None:
        run.state.ema.load_state_dict({name: weights.tensors[name] for name in run.state.ema.state_dict()})
    with run.directory.held():
        identity = run.directory.begin(
            config=run.config_text,
            plan=run.plan.to_json(),
            dataset=run.datasets.identity(),
            threads=int(run.machine.threads.value),
        )
        return run.store.save(run.state.step, run.state.state_dict(), run.summary(identity), best=False)
