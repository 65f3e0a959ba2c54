"""The two standard streams as every command needs them: any character, any width, any ending. Standard library only."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from contextlib import suppress
from typing import TextIO

from trm_cli.errors import TrmError

_READER_LEFT = 141  # as a shell reports SIGPIPE
#: Columns or lines of a terminal. Tables lose whole columns in fewer, and take minutes in more.
_SIZES = range(20, 10_001)


class _Output(io.TextIOWrapper):
    """stdout; a full disk under it is an error with one message, and a reader that left (`| head`) a silent end.

    A terminal that is gone takes nothing any more, and the command ends as it would have ended.
    """

    def write(self, text: str) -> int:
        try:
            # click tries a stream by writing nothing, and hides the answer
            return 0 if text == "" else super().write(text)
        except OSError as error:
            self._lost(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._lost(error)

    def _lost(self, error: OSError) -> None:
        is_terminal = stat.S_ISCHR(os.fstat(self.fileno()).st_mode)
        # What is still in the buffers would make the interpreter end with a status of its own, 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        if is_terminal and error.errno == errno.EIO:
            return
        if isinstance(error, BrokenPipeError):
            raise SystemExit(_READER_LEFT) from error
        raise TrmError(f"stdout cannot be written: {error.strerror or error}") from error


class _Notes(io.TextIOWrapper):
    """stderr; what it does not take is lost, and nothing else."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def prepare_streams() -> None:
    """Make output survive closed streams, full disks, characters that an encoding lacks, and a terminal of width 0."""
    _fill_closed()
    if (out := _own(sys.stdout, sys.__stdout__)) is not None:
        sys.stdout = _Output(out.buffer, out.encoding, "replace", None, out.line_buffering, out.write_through)
    if (err := _own(sys.stderr, sys.__stderr__)) is not None:
        sys.stderr = _Notes(err.buffer, err.encoding, "backslashreplace", None, err.line_buffering, err.write_through)
    for name in ("COLUMNS", "LINES"):
        given = os.environ.get(name)
        # Rich and click take the number as it is: in 0 columns they draw nothing at all.
        if given and not (given.isascii() and given.isdecimal() and int(given[:9]) in _SIZES):
            del os.environ[name]


def _own(stream: TextIO, first: TextIO | None) -> io.TextIOWrapper | None:
    """The stream as the interpreter has made it; None where somebody else (a test, say) has put another there."""
    return stream if isinstance(stream, io.TextIOWrapper) and stream is first else None


def _fill_closed() -> None:
    """Give a stream that is closed (`>&-`) to the null device: the next file opened would have its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        continue
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115  as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8")  # noqa: SIM115
