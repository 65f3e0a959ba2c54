"""Decode text files as they come: UTF-8, or what a byte order mark at the start says (Excel, Notepad, PowerShell)."""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with that one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MARK_BYTES = 4


def encoding_of(start: bytes) -> str:
    """The codec that reads a file which begins with these bytes (`MARK_BYTES` are enough), its mark left out."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8")


def decode(data: bytes) -> str:
    """The text of a file. Raises UnicodeDecodeError."""
    return data.decode(encoding_of(data))


def as_utf8(stream: BinaryIO) -> BinaryIO:
    """The content of a file that was just opened as UTF-8, without its mark; reading may raise UnicodeDecodeError."""
    encoding = encoding_of(stream.read(MARK_BYTES))
    stream.seek(len(codecs.BOM_UTF8) if encoding == "utf-8-sig" else 0)
    return stream if encoding.startswith("utf-8") else io.BufferedReader(_Recoded(stream, encoding))


class _Recoded(io.RawIOBase):
    """A file of another encoding, read as UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view, data = memoryview(buffer), b"."
        while data and not self._held:
            data = self._stream.read(len(view))
            self._held = self._decoder.decode(data, not data).encode()
        count = min(len(view), len(self._held))
        view[:count], self._held = self._held[:count], self._held[count:]
        return count
