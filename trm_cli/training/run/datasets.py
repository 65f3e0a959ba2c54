"""The splits of a run's dataset, and the batches that the run draws from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trm_cli.config.make_plan import make_plan
from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import has_split
from trm_cli.data.opening import open_data
from trm_cli.data.puzzles.dataset import Batch, BatchOrder, PuzzleDataset
from trm_cli.data.puzzles.identifier_map import IdentifierMap, read_identifier_map
from trm_cli.data.stream.dataset import StreamDataset
from trm_cli.data.stream.storage.waiting import Waiting
from trm_cli.errors import DatasetError, UsageError
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.training.distributed.process_group import SINGLE_PROCESS, ProcessGroup

Dataset = PuzzleDataset | StreamDataset


@dataclass(frozen=True)
class Datasets:
    """The splits of a run."""

    train: Dataset
    test: Dataset | None

    @classmethod
    def open(cls, config: RunConfig, waiting: Waiting | None = None) -> Datasets:
        """Open the configured dataset; the test split may be absent. Raises DatasetError.

        waiting: how to wait for the chunks of a stream dataset that is still being built.
        """
        train = open_data(config.data_paths, "train", board_side=config.board_side, waiting=waiting)
        test = open_test(config, waiting)
        if isinstance(train, PuzzleDataset) and test is not None:
            _require_one_shape(train, test)
        return cls(train, test)

    def plan(self, config: RunConfig) -> TrainingPlan:
        """Make the plan of a run on this dataset. Raises UsageError for settings that allow none."""
        try:
            return make_plan(config, self.train.facts, test_split=self.test is not None)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def identifiers(self) -> IdentifierMap | None:
        """What the rows of a puzzle table stand for, where the dataset records it."""
        metadata = self.train.metadata
        return read_identifier_map(self.train.paths, metadata.kind or "", metadata.num_puzzle_identifiers)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint stores of its dataset: the fingerprint, and the metadata that using the model needs."""
        return {"fingerprint": self.train.fingerprint, "metadata": self.train.metadata.to_json()}


def _require_one_shape(train: Dataset, test: Dataset) -> None:
    for key in ("vocab_size", "seq_len"):
        learnt, asked = getattr(train.metadata, key), getattr(test.metadata, key)
        if learnt != asked:
            raise DatasetError(
                f"{', '.join(test.paths)} does not fit {', '.join(train.paths)}: its {key} is {asked}, not {learnt}",
                hint="set data_paths_test to rows of the trained size; trm evaluate RUN --data reads other sizes later",
            )


def open_test(config: RunConfig, waiting: Waiting | None = None) -> Dataset | None:
    """The test split of the configured dataset; None where there is none. Raises DatasetError."""
    paths = config.data_paths_test or config.data_paths
    if not config.data_paths_test and not has_split(paths, "test"):
        return None
    return open_data(paths, "test", board_side=config.board_side, waiting=waiting)


#: Rows of one evaluation batch where the batches of training are smaller: there are no gradients.
_EVALUATED_ROWS = 256


def eval_batch_limit(config: RunConfig, global_batch_size: int | None = None) -> int:
    """Most rows of one evaluation batch, over all processes; of updates of so many rows, None: as configured."""
    return config.eval_batch_size or max(global_batch_size or config.global_batch_size, _EVALUATED_ROWS)


def eval_batch_size(config: RunConfig, test: Dataset | None, processes: int = 1) -> int:
    """Rows of one evaluation batch, over all processes, without unneeded padding rows."""
    rows = 0 if test is None else -(-test.eval_rows // processes) * processes
    return min(rows, eval_batch_limit(config))


@dataclass(frozen=True)
class TrainBatches:
    """The training batches of a run: the dataset, the order in which the run draws, and the rows of this process.

    resting: groups of a puzzle dataset that are not drawn.
    """

    dataset: Dataset
    plan: TrainingPlan
    seed: int
    process_group: ProcessGroup = SINGLE_PROCESS
    resting: tuple[int, ...] = ()

    def train_batch(self, step: int) -> Batch:
        """The rows of update `step`."""
        plan = self.plan
        order = BatchOrder(plan.global_batch_size, plan.steps_per_epoch, plan.step_rounding)
        rows = self.process_group.rows(plan.global_batch_size)
        if isinstance(self.dataset, PuzzleDataset):
            return self.dataset.train_batch(step, order, self.seed, rows, self.resting)
        return self.dataset.train_batch(step, order, self.seed, rows)
