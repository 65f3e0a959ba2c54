"""Represent one record of a stream dataset as bytes, before it is packed into a shard. Standard library only."""

from __future__ import annotations

from typing import NamedTuple

GRID, TEXT, PICTURE = 0, 1, 2
KIND_NAMES = ("grid", "text", "picture")

# A text longer than this becomes several records; each overlaps the one before it, so that no place lacks its context.
WINDOW = 768
OVERLAP = 128


class Record(NamedTuple):
    """Native codes of one sample; how it is laid on a canvas is decided when a batch is drawn.

    kind: GRID, TEXT or PICTURE. source: index into the manifest's list. group: number of the task from 1 on, 0 where
    there is none. shape: input height and width, output height and width of a grid; height and width of a picture.
    ends: the document ends with this record. payload: input cells and output cells (colours 0..9) of a grid; the
    characters of a text; the pixels [3, h, w] of a picture and then its label's characters.
    """

    kind: int
    source: int
    group: int
    shape: tuple[int, int, int, int]
    ends: bool
    payload: bytes


def window_starts(length: int) -> list[int]:
    """Return where the records of a text of `length` characters begin; together they hold all of it."""
    if length <= WINDOW:
        return [0]
    step = WINDOW - OVERLAP
    return [index * step for index in range(1 + -(-(length - WINDOW) // step))]


def grid_side(shape: tuple[int, int, int, int]) -> int:
    """Return the longest side of a grid record: what a canvas must have to hold input and output."""
    return max(shape)
