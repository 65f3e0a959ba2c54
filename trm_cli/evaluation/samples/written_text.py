"""Let a network of capsules write freely, and mark where its letters are not the right ones."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.rows import text_row
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, FIRST_CONTROL
from trm_cli.data.text.codec import ByteCodec
from trm_cli.data.text.labels import TextLabels
from trm_cli.evaluation.samples.text_generation import TextRequest, beginning, write
from trm_cli.models.capsule_network import CapsuleNetwork
from trm_cli.models.layers.sampling import Sampling

_LABELS = TextLabels(FIRST_BYTE, FIRST_CONTROL, True)
#: Stands for what is no letter: an end where none is, bytes that are no character.
NO_LETTER = "\ufffd"


@dataclass(frozen=True)
class MarkedText:
    """A text with a flag for each of its characters: whether it is another one than the right one."""

    text: str
    wrong: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len(self.text) != len(self.wrong):
            raise ValueError(f"There are {len(self.wrong)} marks for {len(self.text)} characters.")

    @property
    def share_right(self) -> float:
        """The share of characters without a mark; 1 of none."""
        return 1.0 - sum(self.wrong) / max(1, len(self.wrong))


@dataclass(frozen=True)
class FreeText:
    """What a network wrote by itself after `given`; wanted: what follows there, None where nobody knows."""

    given: MarkedText
    written: MarkedText
    wanted: MarkedText | None


def marked(tokens: Sequence[int], wanted: Sequence[int] | None = None) -> MarkedText:
    """The characters of tokens, wrong where one of their bytes is another token than the wanted one at its place.

    An end mark at the end has no character; elsewhere it has one that is no letter.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, wrong = "", list[bool]()
    doubtful = False
    for place, token in enumerate(tokens):
        doubtful |= wanted is not None and (place >= len(wanted) or wanted[place] != token)
        is_last = place == len(tokens) - 1
        if FIRST_BYTE <= token < FIRST_CONTROL:
            piece = decoder.decode(bytes([token - FIRST_BYTE]), is_last)
        else:
            piece = decoder.decode(b"", True) + ("" if is_last and token == EOS else NO_LETTER)
            decoder.reset()
        if piece:
            text, wrong = text + piece, wrong + [doubtful] * len(piece)
            doubtful = False
    return MarkedText(text, tuple(wrong))


def written_after_half(network: CapsuleNetwork, row: Batch, shape: StreamShape) -> FreeText:
    """What a network writes by itself after the first half of a row of text, beside what stands there."""
    text = row["text"][0][row["text"][0] > 0]
    asked = np.flatnonzero(row["target"][0] != IGNORED_LABEL)
    middle = max(1, (int(asked[0]) + int(asked[-1]) + 1) // 2)
    wanted = [int(token) for token in row["target"][0][middle - 1 : int(asked[-1]) + 1]]
    written = _written(network, text[:middle].tolist(), len(wanted), shape.text_window)
    return FreeText(marked(_letters(text[:middle])), marked(written, wanted), marked(wanted))


def continued_row(network: CapsuleNetwork, text: str, shape: StreamShape) -> tuple[Batch, FreeText]:
    """A row that shows a text and the network's own continuation, in which it is asked for what it wrote; and that."""
    prompt = ByteCodec(_LABELS).encode(text)[-shape.text_window // 2 :]
    written = _written(network, beginning(network, prompt), shape.text_window - len(prompt) - 1, shape.text_window)
    letters = _letters(written)
    row = text_row(shape, bytes(token - FIRST_BYTE for token in (*prompt, *letters)))
    row["target"][0, len(prompt) : len(prompt) + len(letters)] = letters
    return row, FreeText(marked(prompt), marked(letters), None)


def _written(network: CapsuleNetwork, prompt: Sequence[int], count: int, window: int) -> list[int]:
    """The likeliest tokens one after the other, the end mark included."""
    return list(write(network, _LABELS, TextRequest(prompt, count, Sampling(), seed=0), window=window))


def _letters(tokens: Iterable[int]) -> list[int]:
    return [int(token) for token in tokens if FIRST_BYTE <= token < FIRST_CONTROL]
