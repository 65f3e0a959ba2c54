"""Find the families of networks (the modules of `networks/` and the package `hesc`), and create a network.

A family is a configuration class in a module that imports no torch; its network is imported when one is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from trm_cli.models import networks
from trm_cli.models.network_config import NetworkConfig

if TYPE_CHECKING:
    from trm_cli.models.network import Network


def _found() -> Iterator[tuple[str, type[NetworkConfig]]]:
    modules = [f"{networks.__name__}.{found.name}" for found in iter_modules(networks.__path__) if not found.ispkg]
    for name in (*modules, "trm_cli.models.hesc.config"):
        for value in vars(import_module(name)).values():
            if isinstance(value, type) and issubclass(value, NetworkConfig) and value.__module__ == name:
                yield value.model_fields["family"].default, value


#: Name of a family -> its configuration class.
FAMILIES: Mapping[str, type[NetworkConfig]] = dict(_found())


def create_network(
    config: NetworkConfig, *, vocab_size: int, seq_len: int, num_puzzle_identifiers: int, forward_dtype: str = "float32"
) -> Network:
    """A new network; initial values come from torch's global CPU generator, so seed that first.

    forward_dtype: the type of activations. Raises ValueError for settings that contradict each other.
    """
    if found := list(config.conflicts()):
        name, sentence = found[0]
        raise ValueError(f"{name}: {sentence}.")
    module, _, kind = config.network.partition(":")
    network: Network = getattr(import_module(module), kind)(
        config,
        vocab_size=vocab_size,
        seq_len=seq_len,
        num_puzzle_identifiers=num_puzzle_identifiers,
        forward_dtype=forward_dtype,
    )
    return network
