"""Divide a canvas into patches, puzzle cells and characters: one definition for rasteriser, decoder and data."""

from __future__ import annotations

from dataclasses import dataclass

GRID, TEXT, PICTURE = 0, 1, 2
"""Values of `canvas_kind`; `target_kind` takes the first two."""

CHARACTER_HEIGHT_IN_CELLS = 2


@dataclass(frozen=True)
class CanvasGeometry:
    """Square canvas of `canvas_size` px; a cell is square, a character is one cell wide and two cells high.

    Raises ValueError where patches do not hold whole cells: a cell cut in two cannot be copied exactly.
    """

    canvas_size: int
    patch_size: int
    cell_size: int

    def __post_init__(self) -> None:
        if min(self.canvas_size, self.patch_size, self.cell_size) < 1:
            raise ValueError("canvas_size, patch_size and cell_size are at least 1 px.")
        if self.canvas_size % self.patch_size:
            raise ValueError(f"canvas_size {self.canvas_size} is not a whole number of {self.patch_size} px patches.")
        if self.patch_size % (CHARACTER_HEIGHT_IN_CELLS * self.cell_size):
            raise ValueError(
                f"patch_size {self.patch_size} does not hold whole characters of "
                f"{self.cell_size}x{CHARACTER_HEIGHT_IN_CELLS * self.cell_size} px."
            )

    @property
    def patches_per_side(self) -> int:
        """Patches along one side."""
        return self.canvas_size // self.patch_size

    @property
    def patches(self) -> int:
        """Patches of the canvas."""
        return self.patches_per_side**2

    @property
    def patch_pixels(self) -> int:
        """Numbers in one RGB patch."""
        return 3 * self.patch_size**2

    @property
    def cells_per_side(self) -> int:
        """Puzzle cells along one side."""
        return self.canvas_size // self.cell_size

    @property
    def cells(self) -> int:
        """Puzzle cells of the canvas: the length of a grid's target."""
        return self.cells_per_side**2

    @property
    def text_rows(self) -> int:
        """Lines of characters."""
        return self.cells_per_side // CHARACTER_HEIGHT_IN_CELLS

    @property
    def text_columns(self) -> int:
        """Characters on a line."""
        return self.cells_per_side

    @property
    def characters(self) -> int:
        """Characters that the canvas holds."""
        return self.text_rows * self.text_columns
