"""Metric loggers: Weights & Biases and TensorBoard. One that fails warns once and is disabled; it never stops a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from trm_cli.config.schema import RunConfig
from trm_cli.errors import first_line
from trm_cli.training.recording.tensorboard_logger import TensorBoardLogger
from trm_cli.training.recording.wandb_logger import WANDB_SECONDS, WandbLogger, wandb_mode


class Logger(Protocol):
    """A logger receives every logged record of a run."""

    def write(self, step: int, record: dict[str, Any]) -> None:
        """Take the record of a step."""

    def close(self) -> None:
        """Finish: the run has ended."""


class GuardedLogger:
    """A logger that is disabled by its first error, which is reported."""

    def __init__(self, name: str, open_logger: Callable[[], Logger], notify: Callable[[str], None]) -> None:
        self._name = name
        self._notify = notify
        self._logger: Logger | None = None
        self._attempt(lambda: setattr(self, "_logger", open_logger()))

    def write(self, step: int, record: dict[str, Any]) -> None:
        """Pass a record to the logger, unless it has failed."""
        if (logger := self._logger) is not None:
            self._attempt(lambda: logger.write(step, record))

    def close(self) -> None:
        """Close the logger, unless it has failed."""
        if (logger := self._logger) is not None:
            self._attempt(logger.close)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  whatever a logger raises, the run continues
            self._logger = None
            self._notify(f"{self._name} failed and is disabled: {type(error).__name__}: {first_line(error)}")


def open_loggers(
    config: RunConfig, directory: Path, run_id: str, first_step: int, notify: Callable[[str], None]
) -> list[GuardedLogger]:
    """Open the loggers that are configured. first_step: the first update that will be logged."""
    loggers = []
    mode = wandb_mode(config.wandb)
    if mode != "disabled":
        if mode == "online":
            notify(f"connecting to Weights & Biases, for at most {WANDB_SECONDS} s (skip with wandb=offline)")
        loggers.append(
            GuardedLogger("Weights & Biases", lambda: WandbLogger(config, mode, run_id, directory, notify), notify)
        )
    if config.tensorboard:
        events = directory / "tensorboard"
        loggers.append(GuardedLogger("TensorBoard", lambda: TensorBoardLogger(events, first_step=first_step), notify))
    return loggers
