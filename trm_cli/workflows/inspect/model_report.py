"""Report on a model: components, cost of one update, memory; measured on the meta device, without computing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import METADATA_NAME, DatasetMetadata, read_metadata
from trm_cli.data.stream.blank import blank_rows, kinds_of
from trm_cli.data.stream.recipe import shape_of_recipe
from trm_cli.data.stream.records import GRID, TEXT
from trm_cli.data.stream.shape import StreamShape, stream_shape
from trm_cli.data.stream.storage.plan import KIND as STREAM
from trm_cli.errors import DatasetError
from trm_cli.models.cost import Component, Measured
from trm_cli.models.measuring import measure
from trm_cli.models.network import Network
from trm_cli.paths import is_file
from trm_cli.training.memory.estimate import Estimate, MemoryModel, measure_memory, most_rows
from trm_cli.training.run.build import blank_batch, make_model
from trm_cli.training.run.datasets import eval_batch_limit, open_test

# What a 15 GB GPU has left when the driver and torch have taken theirs.
T4_BYTES = 14_500_000_000
_MOST_ROWS = 1 << 20
_SUDOKU = (11, 81)  # tokens and places of a 9x9 board
_BYTES_OF_TEXT = (258, 256)
#: Sides of the demonstrations whose cost is shown.
_DEMONSTRATED = (10, 30)


@dataclass(frozen=True)
class Rows:
    """Sizes that a model takes from its dataset; `source` names where they are from.

    test_rows: of the test split, 0 = there is none, None = no dataset is there to tell. shape: of a stream.
    """

    vocab_size: int
    seq_len: int
    identifiers: int
    source: str
    test_rows: int | None = None
    shape: StreamShape | None = None


@dataclass(frozen=True)
class TrainingMemory:
    """What training a configuration on rows of these sizes needs in a precision, evaluations included."""

    model: MemoryModel
    config: RunConfig
    rows: Rows
    precision: str

    def at(self, batch_size: int) -> Estimate:
        """With so many rows a batch."""
        limit, test_rows = eval_batch_limit(self.config, batch_size), self.rows.test_rows
        evaluated = limit if test_rows is None else min(limit, test_rows)
        return self.model.estimate(batch_size, micro_batch_size=self.config.micro_batch_size, evaluated=evaluated)

    def largest_batch(self, available: int) -> int:
        """The largest batch size that fits into `available` bytes."""
        return most_rows(lambda rows: self.at(rows).total <= available, _MOST_ROWS)


@dataclass(frozen=True)
class RowCost:
    """Floating-point operations of one row of a kind in one update. forward: without, training: with the backward pass;
    passes: what they are of."""

    name: str
    forward: int
    training: int


@dataclass(frozen=True)
class ModelReport:
    """A model at a batch size and a precision.

    parts: of a row with as many tokens as any. kinds: a row of each kind of a stream. demonstrations: what they add.
    """

    parts: tuple[Component, ...]
    rows: Rows
    kinds: tuple[RowCost, ...]
    demonstrations: tuple[RowCost, ...]
    batch_size: int
    training_memory: TrainingMemory

    @property
    def precision(self) -> str:
        """That of the products."""
        return self.training_memory.precision

    @property
    def memory(self) -> Estimate:
        """What training with this batch size needs."""
        return self.training_memory.at(self.batch_size)

    @property
    def parameters(self) -> int:
        """All of them, the puzzle table included."""
        return sum(part.parameters for part in self.parts)

    @property
    def update_operations(self) -> int:
        """Floating-point operations of one update."""
        return self.batch_size * sum(part.training for part in self.parts)


def rows_of(config: RunConfig, data: str | None, recipe: Mapping[str, Any] | None = None) -> Rows:
    """From a dataset directory, from the configuration's own where it is built, from what its recipe would build, else
    what the family usually reads. recipe: the arguments of the builder.

    Raises DatasetError for a directory that is named and is no dataset.
    """
    board_side = config.board_side
    built = [path for path in config.data_paths if is_file(Path(path) / "train" / METADATA_NAME)]
    path = data or (built[0] if built else None)
    if path is not None:
        found = read_metadata(path, "train")
        tested = _test_rows(config, data)
        if board_side is None or found.kind != STREAM:
            return Rows(found.vocab_size, found.seq_len, found.num_puzzle_identifiers, path, tested)
        shape = stream_shape(found, board_side, str(path))
        return Rows(found.vocab_size, shape.target_length, found.num_puzzle_identifiers, path, tested, shape)
    if board_side is not None:
        shape = shape_of_recipe(recipe or {}, board_side)
        assumed = f"what {config.model} would build (no dataset is built)"
        return Rows(shape.vocab_size, shape.target_length, 1, assumed, shape=shape)
    if config.arch.predicts_next_token:
        return Rows(*_BYTES_OF_TEXT, 1, "256 bytes of text (assumed; name a dataset with --data)")
    return Rows(*_SUDOKU, 1, "a 9x9 Sudoku (assumed; name a dataset with --data)")


def _test_rows(config: RunConfig, data: str | None) -> int | None:
    """Rows of the test split of `data`, None: of the configured dataset; None where that cannot be read yet."""
    if data is not None:
        config = config.model_copy(update={"data_paths": (data,), "data_paths_test": ()})
    try:
        test = open_test(config)
    except DatasetError:  # it is being built
        return None
    return 0 if test is None else test.eval_rows


def report(config: RunConfig, rows: Rows, batch_size: int, precision: str, device: str = "cuda") -> ModelReport:
    """Count the arithmetic of one update and estimate its memory on a device.

    Raises UsageError for settings that contradict each other.
    """
    shape, metadata = rows.shape, _metadata(rows)
    with torch.device("meta"):
        model = make_model(config, metadata, precision)
    measured = measure(model, blank_batch(model, config, metadata, batch_size, "meta"))
    parts = model.components(measured, batch_size)
    kinds = {} if shape is None else {kind: _measured(model, shape, kind) for kind in kinds_of(shape)}
    named = () if shape is None else tuple(_kinds(kinds, shape))
    demonstrations = () if shape is None else tuple(_demonstrations(model, shape, kinds))
    memory = training_memory(config, rows, precision, device)
    return ModelReport(tuple(parts), rows, named, demonstrations, batch_size, memory)


def training_memory(config: RunConfig, rows: Rows, precision: str, device: str = "cuda") -> TrainingMemory:
    """Estimate the memory of training on a device. Raises UsageError for settings that contradict each other."""
    measured = measure_memory(config, _metadata(rows), precision=precision, device=device)
    return TrainingMemory(measured, config, rows, precision)


def _metadata(rows: Rows) -> DatasetMetadata:
    """Of a dataset with rows of these sizes."""
    shape = rows.shape
    return DatasetMetadata(
        pad_id=0,
        ignore_label_id=None,
        blank_identifier_id=0,
        vocab_size=rows.vocab_size,
        seq_len=rows.seq_len,
        num_puzzle_identifiers=rows.identifiers,
        total_groups=1,
        mean_puzzle_examples=1.0,
        total_puzzles=1,
        kind=None if shape is None else STREAM,
        extra={} if shape is None else shape.to_extra([shape.side] if shape.side else []),
    )


def _kinds(measured: Mapping[int, Measured], shape: StreamShape) -> Iterator[RowCost]:
    """What a row of each kind of a stream costs."""
    names = {GRID: f"grid {shape.side}x{shape.side}", TEXT: f"text of {shape.text_window:,} bytes"}
    for kind, found in measured.items():
        yield RowCost(names.get(kind, "picture"), found.forward, found.update)


def _demonstrations(model: Network, shape: StreamShape, kinds: Mapping[int, Measured]) -> Iterator[RowCost]:
    """What the demonstrations of a grid cost in training.

    They are read once for each grid, and looked at in each step; where cells look at their cells (`pair_cells`) both
    are done in each step, and what looking costs grows with them. One cell of them costs nothing to read: what is left
    is looking.
    """
    if not (shape.side and shape.demonstrations):
        return
    alone, looked = kinds[GRID], _measured(model, shape, GRID, pair_side=1)
    each_step = bool(getattr(model.config, "pair_cells", False))
    before, when = (alone, "each step") if each_step else (looked, "read once")
    for side in (side for side in _DEMONSTRATED if side <= max(shape.side, _DEMONSTRATED[0])):
        read = _measured(model, shape, GRID, pair_side=side)
        name = f"{shape.demonstrations} pairs of {side}x{side}, {when}"
        yield RowCost(name, read.forward - before.forward, read.update - before.update)
    if not each_step:
        yield RowCost("looking at them, each step", looked.forward - alone.forward, looked.update - alone.update)


def _measured(model: Network, shape: StreamShape, kind: int, pair_side: int = 0) -> Measured:
    batch = blank_rows(shape, kind, 1, pair_side=pair_side)
    return measure(model, {name: torch.as_tensor(value).to("meta") for name, value in batch.items()})
