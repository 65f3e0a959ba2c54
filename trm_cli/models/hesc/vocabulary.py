"""Define the vocabulary of targets: pad, end, ten colours, 256 bytes, then controls."""

from __future__ import annotations

PAD = 0
EOS = 1
FIRST_COLOUR = 2
COLOURS = 10
FIRST_BYTE = FIRST_COLOUR + COLOURS
BYTES = 256
BEGIN = FIRST_BYTE + BYTES
"""First control: what the causal reading is fed before the first target token."""
MINIMUM_VOCABULARY = BEGIN + 1
TEXT_PLACES = 129
"""Most places of a target that a text takes, its end mark included; further ones are there for the cells of grids."""
IGNORED = -100
"""Label of a position that no loss and no score looks at."""
