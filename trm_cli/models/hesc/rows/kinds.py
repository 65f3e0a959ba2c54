"""The kinds of rows that a batch mixes, and the tokens that each of them may answer with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import IntEnum

import torch
from torch import Tensor


class Kind(IntEnum):
    """Values of the batch field `kind`."""

    GRID = 0
    TEXT = 1
    PICTURE = 2


PAD = 0
EOS = 1
FIRST_COLOUR = 2
COLOURS = 10
FIRST_BYTE = FIRST_COLOUR + COLOURS
BYTES = 256
START = FIRST_BYTE + BYTES
"""What a text begins with: the first of four controls."""
FIRST_LABEL = START + 4
"""The first class of a picture; there are as many as the vocabulary has words from here on."""

#: The words of each kind, from and up to (None: the end of the vocabulary); those of a text from its end mark on.
WORDS: dict[Kind, tuple[int, int | None]] = {
    Kind.GRID: (PAD, FIRST_BYTE),
    Kind.TEXT: (EOS, START),
    Kind.PICTURE: (FIRST_LABEL, None),
}
#: The batch field with the symbols of each kind.
FIELDS = {Kind.GRID: "cells", Kind.TEXT: "text", Kind.PICTURE: "picture"}


def groups(data: Mapping[str, Tensor]) -> Iterator[tuple[Kind, Tensor]]:
    """Yield the kinds of a batch, each with its rows, int64 [b].

    Rows of a kind that the data has no field for (padding) count as the first kind that it has one for; so do all rows
    on the meta device, where nothing tells them apart.
    """
    kinds = data["kind"]
    present = _present(data)
    if kinds.is_meta:
        yield present[0], torch.arange(kinds.shape[0], device=kinds.device)
        return
    belongs = normalised(data)
    for kind in present:
        rows = (belongs == kind).nonzero()[:, 0]
        if len(rows):
            yield kind, rows


def normalised(data: Mapping[str, Tensor]) -> Tensor:
    """The kind as which each row counts, [B]: that of `groups`."""
    kinds, present = data["kind"], _present(data)
    for other in set(Kind) - set(present):
        kinds = kinds.masked_fill(kinds == other, int(present[0]))
    return kinds


def _present(data: Mapping[str, Tensor]) -> list[Kind]:
    return [kind for kind in Kind if FIELDS[kind] in data]


def blank(rows: int, length: int, board_side: int, device: torch.device | str) -> dict[str, Tensor]:
    """A batch in which every place is asked for its end: grids where the `length` of a label is that of a board, else
    text."""
    side = math.isqrt(length)
    batch = {
        "kind": torch.zeros(rows, dtype=torch.int32, device=device),
        "target": torch.full((rows, length), EOS, dtype=torch.int32, device=device),
        "puzzle_identifiers": torch.zeros(rows, dtype=torch.int32, device=device),
    }
    if side**2 == length and side <= board_side:
        batch["cells"] = torch.zeros(rows, length, dtype=torch.uint8, device=device)
        batch["size"] = torch.full((rows, 4), side, dtype=torch.uint8, device=device)
    else:
        batch["text"] = torch.zeros(rows, length, dtype=torch.int32, device=device)
    return batch
