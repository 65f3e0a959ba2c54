"""Report on a model: components, cost of one update, memory; measured on the meta device, without computing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import METADATA_NAME, DatasetMetadata, read_metadata
from trm_cli.data.stream.shape import StreamShape, stream_shape
from trm_cli.data.stream.vocabulary import TEXT_WINDOW
from trm_cli.errors import DatasetError
from trm_cli.models.cost import Component
from trm_cli.models.measuring import measure
from trm_cli.paths import is_file
from trm_cli.training.memory.estimate import Estimate, MemoryModel, measure_memory, most_rows
from trm_cli.training.run.build import make_model
from trm_cli.training.run.datasets import eval_batch_limit, open_test

# What a 15 GB GPU has left when the driver and torch have taken theirs.
T4_BYTES = 14_500_000_000
_MOST_ROWS = 1 << 20
_SUDOKU = (11, 81)  # tokens and places of a 9x9 board
_BYTES_OF_TEXT = (258, 256)


@dataclass(frozen=True)
class Rows:
    """Sizes that a model takes from its dataset; `source` names where they are from.

    test_rows: of the test split, 0 = there is none, None = no dataset is there to tell.
    """

    vocab_size: int
    seq_len: int
    identifiers: int
    source: str
    test_rows: int | None = None


@dataclass(frozen=True)
class ModelReport:
    """A model at a batch size and a precision."""

    parts: tuple[Component, ...]
    rows: Rows
    batch_size: int
    precision: str
    memory_model: MemoryModel
    config: RunConfig

    @property
    def memory(self) -> Estimate:
        """What training with this batch size needs, evaluations included."""
        return self._memory_of(self.batch_size)

    def largest_batch(self, available: int) -> int:
        """The largest batch size that fits into `available` bytes."""
        return most_rows(lambda rows: self._memory_of(rows).total <= available, _MOST_ROWS)

    def _memory_of(self, rows: int) -> Estimate:
        limit, test_rows = eval_batch_limit(self.config, rows), self.rows.test_rows
        evaluated = limit if test_rows is None else min(limit, test_rows)
        return self.memory_model.estimate(rows, micro_batch_size=self.config.micro_batch_size, evaluated=evaluated)

    @property
    def parameters(self) -> int:
        """All of them, the puzzle table included."""
        return sum(part.parameters for part in self.parts)

    @property
    def update_operations(self) -> int:
        """Floating-point operations of one update."""
        return self.batch_size * sum(part.training for part in self.parts)


def rows_of(config: RunConfig, data: str | None) -> Rows:
    """From a dataset directory, from the configuration's own where it is built, else what the family usually reads.

    Raises DatasetError for a directory that is named and is no dataset.
    """
    board_side = config.board_side
    built = [path for path in config.data_paths if is_file(Path(path) / "train" / METADATA_NAME)]
    path = data or (built[0] if built else None)
    if path is not None:
        found = read_metadata(path, "train")
        length = found.seq_len
        if board_side is not None:
            length = stream_shape(found, board_side, str(path)).target_length
        return Rows(found.vocab_size, length, found.num_puzzle_identifiers, path, _test_rows(config, data))
    if board_side is not None:
        shape = StreamShape(board_side, TEXT_WINDOW)
        assumed = f"grids of up to {board_side}x{board_side} and text (assumed; no dataset is built)"
        return Rows(shape.vocab_size, shape.target_length, 1, assumed)
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
    metadata = DatasetMetadata(
        pad_id=0,
        ignore_label_id=None,
        blank_identifier_id=0,
        vocab_size=rows.vocab_size,
        seq_len=rows.seq_len,
        num_puzzle_identifiers=rows.identifiers,
        total_groups=1,
        mean_puzzle_examples=1.0,
        total_puzzles=1,
    )
    with torch.device("meta"):
        model = make_model(config, metadata, precision)
    measured = measure(model, model.blank_batch(batch_size, "meta"))
    parts = model.components(measured, batch_size)
    memory = measure_memory(config, metadata, precision=precision, device=device)
    return ModelReport(tuple(parts), rows, batch_size, precision, memory, config)
