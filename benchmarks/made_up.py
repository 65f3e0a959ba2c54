"""A dataset that does not exist, for measurements of the step alone."""

from __future__ import annotations

from trm_cli.data.files.metadata import DatasetMetadata


def made_up_metadata(length: int, vocabulary: int, examples: int, identifiers: int = 1) -> DatasetMetadata:
    """What a split of `examples` puzzles of one example and `length` tokens each would say about itself."""
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
