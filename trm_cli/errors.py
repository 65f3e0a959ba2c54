"""Define the exit codes of `trm` and the errors that lead to them.

Every user error is one of these classes, is printed without a traceback, and sets the exit
code.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

#: What a full disk, or a quota that is used up, answers.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class ExitCode(IntEnum):
    """What the exit status of every `trm` command means; shown in `trm --help`."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DATASET = 3
    CHECKPOINT = 4
    UNSOLVED = 5
    TERMINATED = 75
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """One line for people."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "the work failed",
    ExitCode.USAGE: "usage or configuration error",
    ExitCode.DATASET: "dataset missing or damaged",
    ExitCode.CHECKPOINT: "checkpoint missing, damaged or of another run",
    ExitCode.UNSOLVED: "ran, but did not solve",
    ExitCode.TERMINATED: "stopped by SIGTERM or SIGHUP after a saved checkpoint",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C after a saved checkpoint",
}


#: The hint where a dataset has to be built again; the program puts the name of its model in, where that is known.
REBUILD = "build the dataset again: `trm build-dataset MODEL --rebuild`"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what a person wrote.

    where: "configs/x.yaml:12:3", an override as it was typed, or "" where there is no place to point at.
    message: what was expected and what was found. hint: what to do, or the nearest valid name.
    """

    where: str
    message: str
    key: str = ""
    hint: str = ""


class TrmError(Exception):
    """A failure that is explained to the user in one message; `hint` says what to do about it."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Everything that the command line would print, for who meets this as an exception."""
        return "\n".join([self.message, *([f"hint: {self.hint}"] if self.hint else [])])


class UsageError(TrmError):
    """The command line cannot be understood."""

    exit_code = ExitCode.USAGE


class ConfigError(TrmError):
    """One or more problems in a configuration, all of them at once."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{count} in {_common_place(problems)}", hint=hint)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        """Every problem on a line of its own."""
        lines = [
            f"{problem.where}: {problem.message}{f' ({problem.hint})' if problem.hint else ''}"
            for problem in self.problems
        ]
        return "\n".join([super().__str__(), *lines])


_IN_FILE = re.compile(r"(.*):\d+:\d+$")


def _common_place(problems: Sequence[Problem]) -> str:
    """The file that holds all of them, or a word for several."""
    places = [_IN_FILE.match(problem.where) for problem in problems]
    files = {place[1] for place in places if place}
    if len(files) == 1 and all(places):
        return files.pop()
    return "the configuration" if files or not problems else "the command line"


class DatasetError(TrmError):
    """A dataset is missing, damaged, or not what the run needs."""

    exit_code = ExitCode.DATASET


class CheckpointError(TrmError):
    """A checkpoint is missing, damaged, or belongs to another run."""

    exit_code = ExitCode.CHECKPOINT


@contextmanager
def writing(path: Path, *, instead: str, error_class: type[TrmError] = CheckpointError) -> Iterator[None]:
    """What the system refuses while the block writes to `path` becomes an error; `instead`: what to choose.

    error_class: CheckpointError for what is written into a run, TrmError for a file that is no part of one.
    """
    try:
        yield
    except OSError as error:
        hint = f"{free_space(error)}choose {instead}"
        raise error_class(f"cannot write to {path}: {error.strerror or error}", hint=hint) from error


def free_space(error: OSError) -> str:
    """The beginning of a hint: to free space, where that is what the system lacks."""
    return "free some disk space, or " if error.errno in NO_SPACE else ""


@contextmanager
def reading(path: Path, *, hint: str | None = None) -> Iterator[None]:
    """What the system refuses while the block reads `path` becomes a CheckpointError."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}", hint=hint) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message; some libraries write pages."""
    return (str(error).splitlines() or [""])[0]
