"""Configure logging by `trm --log-level`, or by TRM_LOG_LEVEL in a process that another one starts.

Every module logs to `logging.getLogger(__name__)`. Nothing is configured, nor `logging` imported here, until a
level is set: warnings then go to stderr, the default. A program that imports this package configures its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError

if TYPE_CHECKING:
    import logging

VARIABLE = "TRM_LOG_LEVEL"
#: The loggers of our own modules; those of libraries stay as they are.
_PACKAGES = ("trm_cli", "dataset_builders")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogLevel(StrEnum):
    """Log lines of this level and above are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure_logging(level: LogLevel, write: Callable[[str], None] | None = None) -> None:
    """Write the log lines of `level` and above through `write` (to stderr without it), here and in child processes."""
    import logging

    os.environ[VARIABLE] = level.value
    handler = logging.StreamHandler() if write is None else _handler(write)
    handler.setFormatter(logging.Formatter(_FORMAT, "%H:%M:%S"))
    for package in _PACKAGES:
        logger = logging.getLogger(package)
        logger.setLevel(level.value.upper())
        logger.handlers = [handler]


def configure_from_environment() -> None:
    """Do what TRM_LOG_LEVEL says, in a process that `trm` has started. Raises UsageError for an unknown level."""
    name = os.environ.get(VARIABLE)
    if name is None:
        return
    if name not in set(LogLevel):
        raise UsageError(f"{VARIABLE} must be one of {', '.join(LogLevel)}, found `{name}`")
    configure_logging(LogLevel(name))


def _handler(write: Callable[[str], None]) -> logging.Handler:
    """A handler that gives each line to `write`."""
    import logging

    class LineHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                write(self.format(record))
            except Exception:  # noqa: BLE001  as in the handlers of the standard library: a log line ends no work
                self.handleError(record)

    return LineHandler()
