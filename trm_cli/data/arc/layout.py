"""Define the layout of an ARC grid in a row of tokens and the names of ARC metadata files. No numpy, so that a plan may
import it.

A grid is encoded into a square canvas, as published of 30x30 tokens: 0 padding, 1 end marks (one row below and one
column right of the grid), colour c as c + 2.
"""

from __future__ import annotations

import math

SIDE = 30
SEQ_LEN = SIDE * SIDE
PAD = 0
EOS = 1
COLOUR_OFFSET = 2
COLOURS = 10
VOCAB_SIZE = COLOUR_OFFSET + COLOURS

#: Beside the arrays of a dataset that makes its augmentations while it is drawn: the code of every identifier.
CODES_NAME = "augmentations.npy"


def is_canvas(seq_len: int) -> bool:
    """Whether rows of so many tokens are square canvases that are no larger than the published one."""
    return 1 <= seq_len <= SEQ_LEN and side_of(seq_len) ** 2 == seq_len


def side_of(seq_len: int) -> int:
    """Side of the canvas of a row."""
    return math.isqrt(seq_len)
