"""Settings that decide the content of a maze dataset. Standard library only, so that a plan needs no numpy."""

from __future__ import annotations

from dataclasses import dataclass

from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.puzzles.maze_text import VOCAB_SIZE


@dataclass(frozen=True)
class MazeSettings:
    """The flags of the maze builder, checked. Counts are None to take all mazes of the source.

    min_path: the shortest path takes more steps than that. loops: walls opened at most, beside a maze without loops.
    """

    side: int
    train: int | None
    test: int | None
    min_path: int
    unique: bool
    loops: int
    num_aug: int
    materialize: bool
    seed: int
    source: str


def maze_metadata(
    seq_len: int, groups: int, puzzles: int, augmentation: dict[str, object] | None = None
) -> DatasetMetadata:
    """Return the metadata of a split."""
    return DatasetMetadata(
        vocab_size=VOCAB_SIZE,
        seq_len=seq_len,
        total_groups=groups,
        total_puzzles=puzzles,
        kind="maze",
        augmentation=augmentation,
    )
