"""Log metrics as TensorBoard event files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


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
        for key, value in record.items():
            if key not in ("kind", "step") and isinstance(value, int | float):
                self._writer.add_scalar(f"{record['kind']}/{key}", value, step)

    def close(self) -> None:
        """Write what is pending."""
        self._writer.close()
