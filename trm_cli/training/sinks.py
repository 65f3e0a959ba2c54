"""Where metrics go besides `metrics.jsonl`. A sink that fails warns once and is switched off; it never stops a run."""

from __future__ import annotations

import netrc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Sink(Protocol):
    """Receives every logged record of a run."""

    def write(self, step: int, record: dict[str, Any]) -> None:
        """Take the record of a step."""

    def close(self) -> None:
        """The run is over."""


class Guarded:
    """A sink that may fail: the first error is told, and ends it."""

    def __init__(self, name: str, open_sink: Callable[[], Sink], tell: Callable[[str], None]) -> None:
        self._name = name
        self._tell = tell
        self._sink: Sink | None = None
        self._attempt(lambda: setattr(self, "_sink", open_sink()))

    def write(self, step: int, record: dict[str, Any]) -> None:
        """Pass a record on, if the sink still works."""
        if (sink := self._sink) is not None:
            self._attempt(lambda: sink.write(step, record))

    def close(self) -> None:
        """Close the sink, if it still works."""
        if (sink := self._sink) is not None:
            self._attempt(sink.close)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  whatever a logger raises, the run goes on
            first_line = (str(error).splitlines() or [""])[0]
            self._sink = None
            self._tell(f"{self._name} failed and is switched off: {type(error).__name__}: {first_line}")


def wandb_mode(wanted: str) -> str:
    """`auto`: online where an API key is at hand, else offline; W&B itself is never asked, since it may prompt."""
    if wanted == "auto":
        wanted = os.environ.get("WANDB_MODE", "") or ("online" if _has_wandb_key() else "offline")
    return "offline" if wanted == "dryrun" else wanted


def _has_wandb_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


class WandbSink:
    """Weights & Biases. The run id lives in the checkpoint, so a resumed run continues the same W&B run."""

    def __init__(
        self, *, mode: str, project: str, run_id: str, name: str, directory: Path, config: dict[str, Any]
    ) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        settings = wandb.Settings(
            console="off", disable_git=True, save_code=False, init_timeout=20, x_disable_stats=True, x_disable_meta=True
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
        except wandb.errors.Error:
            if mode != "online":
                raise
            self._run = start(mode="offline", **arguments)
        # W&B drops records whose own step is below the last one it saw; our step is a metric of its own.
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, record: dict[str, Any]) -> None:
        """Log the record under its kind: train/loss, eval/exact_accuracy."""
        kind = record["kind"]
        flat = {f"{kind}/{key}": value for key, value in record.items() if key not in ("kind", "step")}
        self._run.log({"step": step, **flat})

    def close(self) -> None:
        """Finish the W&B run."""
        self._run.finish()
