"""Define the vocabulary of stream datasets as plain numbers, for plans that import no numpy.

One vocabulary for everything that is read as tokens or predicted: 0 padding, 1 end, 2..11 colours, 12..267 bytes, four
controls of which the first begins a text, then one label a class of pictures.
"""

from __future__ import annotations

PAD, EOS, FIRST_COLOUR, FIRST_BYTE, FIRST_CONTROL = 0, 1, 2, 12, 268
START = FIRST_CONTROL
CONTROLS = 4
FIRST_LABEL = FIRST_CONTROL + CONTROLS
#: Without labels.
VOCAB_SIZE = FIRST_LABEL

#: Cells along one side of the largest board: that of ARC.
BOARD_SIDE = 30
#: Tokens of a text that are read at once.
TEXT_WINDOW = 512
