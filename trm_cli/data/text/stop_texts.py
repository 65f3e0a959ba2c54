"""End a text that is written piece by piece where one of some texts stands in it."""

from __future__ import annotations

from collections.abc import Sequence


class StopTexts:
    """Holds back what may be the beginning of a stop text, so that none of it is shown. found: the one that ended
    it."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Raises ValueError for an empty one."""
        if not all(texts):
            raise ValueError("a text to stop at has at least one character")
        self._texts = tuple(texts)
        self._held = ""
        self.found: str | None = None

    def add(self, piece: str) -> str:
        """The text up to the first stop text, as far as it is sure; what follows the stop text is left out."""
        self._held += piece
        places = [(place, text) for text in self._texts if (place := self._held.find(text)) >= 0]
        if places:
            place, self.found = min(places)
            sure, self._held = self._held[:place], ""
            return sure
        held = max((_beginning(self._held, text) for text in self._texts), default=0)
        sure, self._held = self._held[: len(self._held) - held], self._held[len(self._held) - held :]
        return sure

    def rest(self) -> str:
        """What was held back, where the text ends without a stop text."""
        rest, self._held = self._held, ""
        return rest


def _beginning(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
