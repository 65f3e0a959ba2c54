"""Check that all processes have the same data and the same weights."""

from __future__ import annotations

import torch
from torch import Tensor

from trm_cli.errors import DatasetError, TrmError
from trm_cli.training.distributed.process_group import ProcessGroup

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def require_same_data_on_all_ranks(fingerprint: str, process_group: ProcessGroup) -> None:
    """Raise DatasetError for copies of a dataset that differ: rows of both would be mixed."""
    differs = fingerprint != process_group.from_first(lambda: fingerprint)
    if process_group.largest([differs]) != [0]:
        raise DatasetError(
            "the processes of this run have different datasets",
            hint="copy the dataset to all machines again, or keep it where all of them see it",
        )


def require_same_weights_on_all_ranks(tensors: dict[str, Tensor], process_group: ProcessGroup) -> None:
    """Raise TrmError unless every process has the same bits."""
    number = sum(int(_as_integers(tensor).sum(dtype=torch.int64)) for tensor in tensors.values()) % 2**62
    if process_group.largest([number, -number]) != [number, -number]:
        raise TrmError(
            "the weights of this run differ between its processes",
            hint="the last checkpoint is valid; check that all machines have the same torch, driver and kind of device",
        )


def _as_integers(tensor: Tensor) -> Tensor:
    """The bits of a tensor as whole numbers."""
    return tensor.detach().contiguous().reshape(-1).view(_INTEGERS[tensor.element_size()])
