"""Check that weights fit a model; if not, list every difference in one message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from trm_cli.config import registry
from trm_cli.config.compose import compose
from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.errors import CheckpointError, ConfigError, UsageError
from trm_cli.training.run.build import make_model
from trm_cli.training.state.puzzle_table import TABLE
from trm_cli.training.transfer.foreign_weights import ForeignWeights

Shapes = Mapping[str, Sequence[int]]
_LISTED = 4

# What the two numbers of a shape are, for the weights in which two settings meet.
_MEANINGS = {
    "embed_tokens": "vocabulary x width",
    "lm_head": "vocabulary x width",
    "embed_positions": "puzzle tokens + sequence x width",
    TABLE: "identifiers x puzzle_emb_ndim",
    "qkv": "3 x heads x head width, width",
    "token_gate_up": "2 x hidden, puzzle tokens + sequence",
    "token_down": "puzzle tokens + sequence, hidden",
    "gate_up": "2 x hidden, width",
    "neighbours": "width, 1, 3, 3",
}


def expected_shapes(config: RunConfig, metadata: DatasetMetadata) -> dict[str, list[int]]:
    """The name and shape of every tensor of a model; costs no memory. Raises UsageError for impossible settings."""
    with torch.device("meta"):
        model = make_model(config, metadata, "float32")
    return {name: list(value.shape) for name, value in model.state_dict().items()}


def require_compatible(weights: ForeignWeights, config: RunConfig, metadata: DatasetMetadata) -> None:
    """Check names and shapes, all but the number of rows of the puzzle table. Raises CheckpointError with everything.

    The message names what is missing, what is unknown and what has another shape, and the architectures that would fit.
    """
    found = {name: list(value.shape) for name, value in weights.tensors.items()}
    expected = expected_shapes(config, metadata)
    problems = _differences(found, expected)
    if not problems:
        return
    fitting = [name for name in registry.names("arch") if _is_compatible(found, name, metadata)]
    advice = (
        f"architectures that fit this file and this dataset: {', '.join(fitting)}"
        if fitting
        else "no architecture fits this file and this dataset: compare sequence length, vocabulary and puzzle_emb_len"
    )
    head = f"{weights.path} does not fit the architecture {config.arch.name} on this dataset"
    raise CheckpointError("\n".join([head, *(f"  {problem}" for problem in problems)]), hint=advice)


def _differences(found: Shapes, expected: Shapes) -> list[str]:
    problems = []
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing:
        problems.append(f"missing in the file: {_some(missing)}")
    if unknown:
        problems.append(f"unknown in the file: {_some(unknown)}")
    other = [name for name in expected if name in found and not _same(name, found[name], expected[name])]
    for name in other[:_LISTED]:
        kind = name.rsplit(".", 1)[-1] if name != TABLE else TABLE
        meaning = f" ({_MEANINGS[kind]})" if kind in _MEANINGS else ""
        problems.append(f"{name} is {list(found[name])} in the file and {list(expected[name])} here{meaning}")
    if len(other) > _LISTED:
        problems.append(f"and {len(other) - _LISTED} more with another shape")
    return problems


def _same(name: str, found: Sequence[int], expected: Sequence[int]) -> bool:
    """Rows of the puzzle table are matched by name, not by number."""
    return list(found[1:]) == list(expected[1:]) if name == TABLE else list(found) == list(expected)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _is_compatible(found: Shapes, name: str, metadata: DatasetMetadata) -> bool:
    try:
        config = compose(None, [f"arch={name}"]).config
        return config.board_side is None and not _differences(found, expected_shapes(config, metadata))
    except (ConfigError, UsageError):
        return False
