"""Represent one record of a stream dataset as bytes, before it is packed into a shard. Standard library only."""

from __future__ import annotations

from typing import NamedTuple

GRID, TEXT, PICTURE = 0, 1, 2
KIND_NAMES = ("grid", "text", "picture")

# Flags of a text: its window begins the document, ends it, repeats the end of the window before it.
BEGINS, ENDS, OVERLAPS = 1, 2, 4


class Record(NamedTuple):
    """One sample; how it becomes a row of a batch is decided when the batch is drawn.

    kind: GRID, TEXT or PICTURE. payload: input cells and output cells (colours 0..9) of a grid, the bytes of a text,
    the pixels [C, h, w] of a picture. source: index into the manifest's list.
    group: number of a grid's task from 1 on. place: which of the task's pairs that show the rule it is, from 1 on; 0
    for none of them. shape: height and width of input and output. flags: of a text. label: class of a picture.
    """

    kind: int
    payload: bytes
    source: int = 0
    group: int = 0
    place: int = 0
    shape: tuple[int, int, int, int] = (0, 0, 0, 0)
    flags: int = 0
    label: int = 0


class Window(NamedTuple):
    """A part of a document as bytes start..stop-1, with the flags of its record."""

    start: int
    stop: int
    flags: int


def window_count(length: int, window: int, step: int) -> int:
    """Return how many windows of `window` tokens, `step` apart, a document of `length` bytes has."""
    # The document is the start mark, its bytes and the end mark; all but the first of these are predicted.
    return 1 + max(0, -(-(length + 1 - window) // step))


def text_window(length: int, window: int, step: int, number: int) -> Window:
    """Return window `number` of a document of `length` bytes: `window` tokens are read, the next of each predicted.

    Windows that are `step` = `window` apart share the one token that the first predicts last and the second reads
    first; together they predict each byte and the end mark once. A smaller step makes them overlap.
    """
    first = number * step  # in tokens: 0 is the start mark, token t is byte t - 1
    last = min(first + window, length + 1)  # the last token that is predicted
    flags = (BEGINS if number == 0 else 0) | (ENDS if last == length + 1 else 0)
    if number and step < window:
        flags |= OVERLAPS
    return Window(max(0, first - 1), min(last, length), flags)


def held_out_step(window: int) -> int:
    """Return how far the windows of a held-out text are apart: half of each is context that was scored before."""
    return max(1, window // 2)


def grid_side(shape: tuple[int, int, int, int]) -> int:
    """Return the longest side of a grid record: what a board must have to hold input and output."""
    return max(shape)
