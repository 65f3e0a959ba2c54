"""Define how a network reads a text token by token, to tell what follows it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor


class TextReader(ABC):
    """Reads a text and scores the token after it; what was computed of earlier tokens is kept where none of it changes.

    window: the most tokens that are read at once.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._read: list[int] = []

    def begin(self, tokens: Sequence[int]) -> Tensor:
        """Read a text of its own, of a long one the end: the scores [V], float32, of the token after it.

        The softmax of the scores is the distribution of the token.
        """
        self._read = self._end_of(tokens)
        return self._whole(self._read)

    def add(self, token: int) -> Tensor:
        """Read one more token: the scores [V] of the token after it."""
        if len(self._read) == self.window:
            return self.begin([*self._read, token])
        self._read.append(token)
        return self._next(token)

    def _end_of(self, tokens: Sequence[int]) -> list[int]:
        """What is read of a text: all of it, or, of a longer one than the window, as many tokens as fill half of it."""
        return list(tokens) if len(tokens) <= self.window else list(tokens[-kept_of_long_text(self.window) :])

    @abstractmethod
    def _whole(self, tokens: Sequence[int]) -> Tensor:
        """Read tokens from nothing."""

    @abstractmethod
    def _next(self, token: int) -> Tensor:
        """Read a token after those that were read; there is room for it."""


def kept_of_long_text(window: int) -> int:
    """How many tokens of a text longer than the window are read: half of it, so that what follows has room too."""
    return window - window // 2
