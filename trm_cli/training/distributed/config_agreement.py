"""Check that all processes have the same configuration, the same data and the same weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from trm_cli.errors import DatasetError, TrmError, UsageError
from trm_cli.training.distributed.process_group import ProcessGroup

_OF_A_MACHINE = ("threads", "data_paths", "data_paths_test")
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def require_same_config_on_all_ranks(values: Mapping[str, object], process_group: ProcessGroup) -> None:
    """Raise UsageError, with the keys that differ, unless every process has the same configuration.

    values: by their dotted keys. Where the data lies and how many threads compute may differ from machine to machine.
    """
    own = {key: repr(value) for key, value in values.items() if key not in _OF_A_MACHINE}
    first: dict[str, str] = process_group.from_first(lambda: own)
    keys = sorted(first)
    # The last one: another architecture has other keys.
    flags = process_group.largest([*(own.get(key) != first[key] for key in keys), bool(own.keys() - first.keys())])
    differ = [key for key, flag in zip([*keys, "arch"], flags, strict=True) if flag]
    if differ:
        raise UsageError(
            f"the processes of this run have different configurations: {', '.join(differ)}",
            hint="start all of them with the same command and the same files",
        )


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
