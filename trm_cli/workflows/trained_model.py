"""Load a trained model onto a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from trm_cli.training.run.trained_model import TrainedModel


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
