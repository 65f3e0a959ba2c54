"""Define the target vocabulary and the canvas dimensions as plain numbers, for plans that import no numpy."""

from __future__ import annotations

PAD, EOS, FIRST_COLOUR, FIRST_BYTE, FIRST_CONTROL = 0, 1, 2, 12, 268
CONTROLS = 4
VOCAB_SIZE = FIRST_CONTROL + CONTROLS
IGNORED = -100

CELL_PIXELS = 7
CHARACTER_HEIGHT_IN_CELLS = 2
# Bytes of a text that are to be predicted in one sample: at 84 px they still fit the canvas' 144 places.
TEXT_TARGET = 128


def target_length(canvas_size: int, has_grids: bool) -> int:
    """Return the places of a target: one per cell of the canvas where there are grids, else those of a text."""
    return (canvas_size // CELL_PIXELS) ** 2 if has_grids else TEXT_TARGET
