"""What each size is made of, and what a step of it costs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from trm_cli.config.sources.yaml_loader import load_yaml
from trm_cli.models.families import create_network
from trm_cli.models.hesc import components
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.rows.kinds import FIRST_LABEL
from trm_cli.models.measuring import measure
from trm_cli.models.network import Network

ARCHITECTURES = Path(__file__).parents[3] / "configs" / "arch"
LABELS = 30


def on_meta(name: str, **changes: object) -> Network:
    """An architecture file, for boards of 30x30 cells and pictures of 30 classes."""
    config = HescConfig.model_validate(load_yaml(ARCHITECTURES / f"{name}.yaml").data | changes)
    with torch.device("meta"):
        return create_network(config, vocab_size=FIRST_LABEL + LABELS, seq_len=900, num_puzzle_identifiers=1)


def counts(network: Network) -> dict[str, int]:
    groups = components.parameter_groups(network)
    sizes = {name: sum(parameter.numel() for parameter in group) for name, group in groups.items()}
    return sizes | {"total": sum(sizes.values()) - sizes.get("puzzle table", 0)}


SIZES = {
    "multimodal_hesc": {
        "symbols": 1_846_720,
        "demonstrations": 3_158_016,
        "workspace": 80_424_608,
        "planner": 35_262_721,
        "tokens": 18_903_808,
        "text": 14_693_376,
        "mtp": 7_870_976,
        "answers": 790_788,
        "puzzle table": 1_024,
        "total": 162_951_013,
    },
}


@pytest.mark.parametrize(("name", "sizes"), SIZES.items())
def test_sizes_are_pinned_by_component(name: str, sizes: dict[str, int]) -> None:
    assert counts(on_meta(name)) == sizes


def test_the_sizes_are_those_that_were_asked_for() -> None:
    full = counts(on_meta("multimodal_hesc"))
    assert 162e6 <= full["total"] <= 164.5e6
    assert 34.5e6 <= full["planner"] <= 35.5e6
    assert 8e6 <= counts(on_meta("multimodal_hesc_base"))["total"] <= 10e6
    assert counts(on_meta("multimodal_hesc_mini"))["total"] <= 2e6


def test_a_step_of_a_large_board_is_affordable() -> None:
    model = on_meta("multimodal_hesc")
    measured = measure(model, model.blank_batch(1, "meta"))
    assert measured.forward < 300e9
    shares = model.components(measured, 1)
    assert sum(part.forward for part in shares) == pytest.approx(measured.forward, rel=0.01)
    assert sum(part.training for part in shares) == pytest.approx(
        measured.update, rel=0.15
    )  # attention is computed twice


@pytest.mark.parametrize(
    "name", ["multimodal_hesc", "multimodal_hesc_base", "multimodal_hesc_mini", "trm_unified", "vision_optimized"]
)
def test_the_sizes_that_are_documented_are_the_real_ones(name: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / "architectures.md").read_text(encoding="utf-8")
    stated = re.search(rf"^\| `{name}` \| ([\d,]+) ", text, re.MULTILINE)
    config = HescConfig.model_validate(load_yaml(ARCHITECTURES / f"{name}.yaml").data)
    with torch.device("meta"):
        model = create_network(config, vocab_size=FIRST_LABEL, seq_len=900, num_puzzle_identifiers=1)
    assert stated is not None
    assert int(stated[1].replace(",", "")) == sum(parameter.numel() for parameter in model.trunk_parameters())
