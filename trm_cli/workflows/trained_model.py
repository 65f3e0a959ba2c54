"""Load a trained model onto a device, or only what is sealed with its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from trm_cli.training.run.sealed_config import Sealed
    from trm_cli.training.run.trained_model import TrainedModel


def sealed_of(run: str | None) -> Sealed:
    """What is sealed in the checkpoint that `load` would load: its settings, and the metadata of its dataset.

    Without torch, which takes seconds: what a run cannot do is told at once. Raises CheckpointError.
    """
    from trm_cli.training.checkpoint.checkpoint_io import read_summary
    from trm_cli.training.run.find_run import find_checkpoint
    from trm_cli.training.run.sealed_config import Sealed

    path = find_checkpoint(run)
    return Sealed(path, read_summary(path))


def load(run: str, device: str, notify: Callable[[str], None] = lambda _: None) -> tuple[TrainedModel, torch.device]:
    """Load the best (else the newest) checkpoint of a run, or a checkpoint file. device: auto, cpu, cuda or mps.
    notify: receives messages for the user.

    Call it before torch is imported: it sets environment variables for threads. Raises TrmError.
    """
    from trm_cli.training.hardware.torch_runtime import prepare_threads

    prepare_threads()
    import torch

    from trm_cli.training.hardware.devices import choose_device
    from trm_cli.training.run.trained_model import load_trained

    where = torch.device(choose_device(device).value)
    return load_trained(run, where, notify=notify), where
