"""What each part of a network of tokens costs: its parameters, and its share of what was measured."""

from __future__ import annotations

from torch import nn

from trm_cli.models.cost import PUZZLE_TABLE, Component, Measured

_STACKS = {"L_level": "stack", "H_level": "slow stack"}
_HEADS = "heads"
_COMPONENT_OF = {
    "embed_tokens": "embeddings",
    "embed_positions": "embeddings",
    "lm_head": _HEADS,
    "q_head": _HEADS,
    "puzzle_embedding": PUZZLE_TABLE,
}


def components(network: nn.Module, own_stacks: list[str], measured: Measured, rows: int) -> list[Component]:
    """See `Network.components`. own_stacks: the names of the network's stacks."""
    names = [*(name for name in _STACKS if name in own_stacks), *own_stacks]
    stacks = {name: _STACKS.get(name, name) for name in names}
    counts: dict[str, int] = dict.fromkeys((PUZZLE_TABLE, "embeddings", *stacks.values(), _HEADS), 0)
    for name, parameter in network.named_parameters():
        counts[(_COMPONENT_OF | stacks)[name.partition(".")[0]]] += parameter.numel()
    forward = {part: measured.modules.get(module, 0) // rows for module, part in stacks.items()}
    forward[_HEADS] = measured.forward // rows - sum(forward.values())
    # What is no stack runs once, with its gradient; the stacks share the rest by their forward passes.
    backward = measured.update // rows - measured.forward // rows - 2 * forward[_HEADS]
    passes = sum(forward[part] for part in stacks.values())
    training = {part: forward[part] + backward * forward[part] // passes for part in stacks.values()}
    training[_HEADS] = 3 * forward[_HEADS]
    return [
        Component(name, count, forward.get(name, 0), training.get(name, 0)) for name, count in counts.items() if count
    ]
