"""The parts of any network here, their parameters and their share of the arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from trm_cli.models.hesc import parameter_budget
from trm_cli.models.hesc.model import MultimodalHesc
from trm_cli.models.measuring import Measured

PUZZLE_TABLE = "puzzle table"
_STACKS = {"L_level": "stack", "H_level": "slow stack"}
_HEADS = "heads"
_TOKEN_PARTS = {
    **_STACKS,
    "embed_tokens": "embeddings",
    "embed_positions": "embeddings",
    "lm_head": _HEADS,
    "q_head": _HEADS,
    "puzzle_embedding": PUZZLE_TABLE,
}


@dataclass(frozen=True)
class Component:
    """forward, training: floating-point operations for one row in one update."""

    name: str
    parameters: int
    forward: int
    training: int


def components(model: nn.Module, measured: Measured, *, rows: int, vocab_size: int, length: int) -> list[Component]:
    """The parts of a model, in the order in which a row goes through them."""
    if isinstance(model, MultimodalHesc):
        row = parameter_budget.arithmetic(model.settings, vocab_size, length)
        return [
            Component(
                PUZZLE_TABLE if name == "puzzle" else name, count, row.forward.get(name, 0), row.training.get(name, 0)
            )
            for name, count in parameter_budget.parameter_counts(model).items()
        ]
    counts: dict[str, int] = dict.fromkeys((PUZZLE_TABLE, "embeddings", "stack", "slow stack", _HEADS), 0)
    for name, parameter in model.named_parameters():
        counts[_TOKEN_PARTS[name.partition(".")[0]]] += parameter.numel()
    forward = {part: measured.modules.get(module, 0) // rows for module, part in _STACKS.items()}
    forward[_HEADS] = measured.forward // rows - sum(forward.values())
    # What is no stack runs once, with its gradient; the stacks share the rest by their forward passes.
    backward = measured.update // rows - measured.forward // rows - 2 * forward[_HEADS]
    passes = sum(forward[part] for part in _STACKS.values())
    training = {part: forward[part] + backward * forward[part] // passes for part in _STACKS.values()}
    training[_HEADS] = 3 * forward[_HEADS]
    return [
        Component(name, count, forward.get(name, 0), training.get(name, 0)) for name, count in counts.items() if count
    ]
