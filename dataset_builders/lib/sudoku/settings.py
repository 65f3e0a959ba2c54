"""Settings that decide the content of a Sudoku dataset. Standard library only, so that a plan needs no numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trm_cli.data.files.metadata import DatasetMetadata

NO_LIMIT = 2**30  # no rating is higher


@dataclass(frozen=True)
class SudokuSettings:
    """The flags of the Sudoku builder, checked. Counts are None where all of a source's puzzles are wanted."""

    box: tuple[int, int]
    train: int | None
    test: int | None
    clues: tuple[int, int]  # least and most; (0, 0): minimal puzzles
    difficulty: tuple[float, float]  # least and most guesses of the solver
    extra_clues: int  # most further cells of the answer that a training puzzle shows
    num_aug: int
    materialize: bool
    seed: int
    source: str  # "generate", a path, or "hub:REPO"
    columns: Mapping[str, str]  # the source's names of columns, where they are not known
    unique: bool

    @property
    def side(self) -> int:
        """Return the number of digits."""
        return self.box[0] * self.box[1]

    @property
    def augmentation(self) -> dict[str, object]:
        """Return what `dataset.json` says of augmentations that are made while batches are drawn."""
        return {"kind": "sudoku", "box": list(self.box), "count": self.num_aug, "seed": self.seed}

    def metadata(self, groups: int, puzzles: int, augmentation: dict[str, object] | None = None) -> DatasetMetadata:
        """Return the metadata of a split."""
        return DatasetMetadata(
            vocab_size=self.side + 2,
            seq_len=self.side**2,
            total_groups=groups,
            total_puzzles=puzzles,
            kind="sudoku",
            augmentation=augmentation,
            extra={"box": list(self.box)},
        )
