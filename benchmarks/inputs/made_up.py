"""Make a synthetic run and dataset in memory, for measurements of the step alone."""

from __future__ import annotations

from dataclasses import dataclass

from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.memory.estimate import Estimate, measure_memory


@dataclass(frozen=True)
class MadeUpRun:
    """A run as far as an update needs it."""

    config: RunConfig
    plan: TrainingPlan
    metadata: DatasetMetadata
    machine: Machine

    def estimate(self) -> Estimate:
        """The memory that it is estimated to need, without evaluations."""
        machine = self.machine
        model = measure_memory(
            self.config, self.metadata, precision=machine.precision.value, device=machine.device.value
        )
        return model.estimate(self.config.global_batch_size, micro_batch_size=self.config.micro_batch_size)


def made_up_metadata(length: int, vocabulary: int, examples: int, identifiers: int = 1) -> DatasetMetadata:
    """Return the metadata of a split of `examples` puzzles with one example of `length` tokens each."""
    return DatasetMetadata(
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        vocab_size=vocabulary,
        seq_len=length,
        num_puzzle_identifiers=identifiers,
        total_groups=examples,
        mean_puzzle_examples=1.0,
        total_puzzles=examples,
        kind="sudoku",
        augmentation=None,
    )
