"""Metric loggers: Weights & Biases and TensorBoard. One that fails warns once and is disabled; it never stops a run."""

from __future__ import annotations

import netrc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from trm_cli.config.schema import RunConfig

#: Longest wait for Weights & Biases at the start and at the end of a run.
_WANDB_SECONDS = 20


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
            self._notify(f"{self._name} failed and is disabled: {type(error).__name__}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def wandb_mode(configured: str) -> str:
    """Resolve `auto`: online where an API key is found, else offline; W&B itself is not asked, since it may prompt."""
    if configured == "auto":
        configured = os.environ.get("WANDB_MODE", "") or ("online" if _has_wandb_key() else "offline")
    return "offline" if configured == "dryrun" else configured


def _has_wandb_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def open_loggers(
    config: RunConfig, *, directory: Path, run_id: str, first_step: int, notify: Callable[[str], None]
) -> list[GuardedLogger]:
    """Open the loggers that are configured. first_step: the first update that will be logged."""
    loggers = []
    mode = wandb_mode(config.wandb)
    if mode != "disabled":
        if mode == "online":
            notify(f"connecting to Weights & Biases, for at most {_WANDB_SECONDS} s (skip with wandb=offline)")
        arguments: dict[str, Any] = {
            "mode": mode,
            "project": config.wandb_project,
            "run_id": run_id,
            "name": directory.name,
            "directory": directory,
            "config": config.model_dump(),
            "notify": notify,
        }
        loggers.append(GuardedLogger("Weights & Biases", lambda: WandbLogger(**arguments), notify))
    if config.tensorboard:
        events = directory / "tensorboard"
        loggers.append(GuardedLogger("TensorBoard", lambda: TensorBoardLogger(events, first_step=first_step), notify))
    return loggers


class TensorBoardLogger:
    """TensorBoard event files. Events after the step that a run continues from are purged by TensorBoard."""

    def __init__(self, directory: Path, *, first_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise RuntimeError("the package tensorboard is missing: pip install 'trm[tensorboard]'") from error
        writer: Callable[..., Any] = SummaryWriter
        self._writer = writer(log_dir=str(directory), purge_step=first_step)

    def write(self, step: int, record: dict[str, Any]) -> None:
        """Add every number of the record as a scalar under its kind: train/loss, eval/exact_accuracy."""
        for name, value in _numbers(record).items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is pending."""
        self._writer.close()


def _numbers(record: dict[str, Any]) -> dict[str, float]:
    kind = record["kind"]
    return {
        f"{kind}/{key}": value
        for key, value in record.items()
        if key not in ("kind", "step") and isinstance(value, int | float)
    }


class WandbLogger:
    """Weights & Biases. The run id lives in the checkpoint, so a resumed run continues the same W&B run.

    Where the service cannot be reached the run is logged offline, and the command to sync it is printed at the end.
    """

    def __init__(
        self,
        *,
        mode: str,
        project: str,
        run_id: str,
        name: str,
        directory: Path,
        config: dict[str, Any],
        notify: Callable[[str], None],
    ) -> None:
        self._notify = notify
        self._pattern = directory / "wandb" / f"*run-*-{run_id}"
        os.environ.setdefault("WANDB_SILENT", "true")
        # Through the environment: versions that do not know it ignore it. Without it finishing waits for the network.
        os.environ.setdefault("WANDB_FINISH_TIMEOUT", str(_WANDB_SECONDS))
        os.environ.setdefault("WANDB_FINISH_TIMEOUT_RAISES", "true")
        import wandb

        settings = wandb.Settings(
            console="off",
            disable_git=True,
            save_code=False,
            init_timeout=_WANDB_SECONDS,
            x_disable_stats=True,
            x_disable_meta=True,
        )
        start: Callable[..., Any] = wandb.init  # its many literal types say nothing about a mode that we have checked
        arguments: dict[str, Any] = {
            "project": project,
            "id": run_id,
            "name": name,
            "dir": str(directory),
            "config": config,
            "resume": "allow",
            "settings": settings,
        }
        try:
            self._run = start(mode=mode, **arguments)
        except wandb.errors.Error as error:
            if mode != "online":
                raise
            notify(f"Weights & Biases cannot be reached ({_first_line(error)}); logging offline")
            mode = "offline"
            wandb.teardown()  # its service still holds the id of the run that could not be opened
            self._run = start(mode=mode, **arguments)
        self._offline = mode == "offline"
        # W&B drops records whose own step is below the last one it saw; our step is a metric of its own.
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, record: dict[str, Any]) -> None:
        """Log the record under its kind: train/loss, eval/exact_accuracy."""
        kind = record["kind"]
        flat = {f"{kind}/{key}": value for key, value in record.items() if key not in ("kind", "step")}
        self._run.log({"step": step, **flat})

    def close(self) -> None:
        """Finish the W&B run."""
        try:
            self._run.finish()
        except TimeoutError as error:
            raise TimeoutError(f"the upload did not finish; to complete it: wandb sync {self._pattern}") from error
        if self._offline:
            self._notify(f"to upload this run to Weights & Biases: wandb sync {self._pattern}")
