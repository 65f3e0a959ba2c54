"""Encode text as the tokens of a dataset, and decode tokens one by one as they are generated."""

from __future__ import annotations

import codecs
from pathlib import Path

from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.text.labels import BYTES, TextLabels, text_labels
from trm_cli.data.text.tokenizer_file import read_tokenizer
from trm_cli.errors import UsageError

_SHOWN = frozenset("\n\t")


class ByteCodec:
    """Byte b is the token first + b. What is not UTF-8 becomes a question mark in a box."""

    def __init__(self, labels: TextLabels) -> None:
        self.labels = labels
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        return [self.labels.first + byte for byte in text.encode("utf-8", "replace")]

    def piece(self, token: int) -> str:
        """Return the characters that the byte completes."""
        return self._decoder.decode(bytes([token - self.labels.first]))


class TokenizerCodec:
    """Tokens of a tokenizer.json. Raises UsageError where it cannot be used."""

    def __init__(self, labels: TextLabels, path: Path) -> None:
        self._tokenizer = read_tokenizer(path, error=UsageError)
        if self._tokenizer.get_vocab_size() != labels.stop - labels.first:
            raise UsageError(
                f"{path} has {self._tokenizer.get_vocab_size():,} tokens, the run was trained on "
                f"{labels.stop - labels.first:,}"
            )
        self.labels = labels
        self._written: list[int] = []

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [self.labels.first + token for token in ids]

    def piece(self, token: int) -> str:
        """Return by how much the decoded text has grown."""
        before = self._tokenizer.decode(self._written)
        self._written.append(token - self.labels.first)
        return str(self._tokenizer.decode(self._written)).removeprefix(before)


TextCodec = ByteCodec | TokenizerCodec


def text_codec(metadata: DatasetMetadata, tokenizer: Path | None) -> TextCodec:
    """Return the text codec of a run's dataset. Raises UsageError for one that holds none, or whose tokenizer is not
    given.
    """
    labels = text_labels(metadata)
    if labels is None:
        raise UsageError(
            f"the run was trained on {metadata.kind} puzzles, not on text",
            hint="`trm solve` is for puzzles; runs of text-optimized, code-optimized and vision-unified write text",
        )
    if labels.bytes:
        return ByteCodec(labels)
    if tokenizer is None:
        name = metadata.extra.get("tokens", BYTES)
        raise UsageError(f"the run's tokens are those of {name}", hint="name that file: --tokenizer tokenizer.json")
    return TokenizerCodec(labels, tokenizer)


def shown(text: str) -> str:
    """Text for a terminal: what would move its cursor or change its colours becomes a box."""
    return "".join(one if one in _SHOWN or one.isprintable() else "\ufffd" for one in text)
