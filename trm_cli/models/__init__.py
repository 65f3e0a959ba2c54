"""Networks: tensors in, tensors out. They know no files, no clock and no configuration."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

# family in the configuration -> (module, class); imported when a model is made, so that listing them loads no torch.
FAMILIES: Mapping[str, tuple[str, str]] = {
    "trm": ("trm_cli.models.networks.trm", "TRM"),
    "hrm": ("trm_cli.models.networks.hrm", "HRM"),
    "transformer": ("trm_cli.models.networks.transformer", "Transformer"),
    "hesc": ("trm_cli.models.hesc.model", "MultimodalHesc"),
}


def create_model(
    family: str, settings: Mapping[str, Any], *, vocab_size: int, seq_len: int, num_puzzle_identifiers: int
) -> nn.Module:
    """A new model; initial values come from torch's global CPU generator, so seed that first.

    settings: the fields of the family's architecture file, plus `forward_dtype`. Raises ValueError when the family is
    unknown or the settings contradict each other.
    """
    if family not in FAMILIES:
        raise ValueError(f"There is no model family {family!r}; the families are {', '.join(FAMILIES)}.")
    module, name = FAMILIES[family]
    model: nn.Module = getattr(import_module(module), name)(
        **settings, vocab_size=vocab_size, seq_len=seq_len, num_puzzle_identifiers=num_puzzle_identifiers
    )
    return model
