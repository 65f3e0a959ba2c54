"""The table of `trm configs show` in terminals of several widths."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from trm_cli.console.views.configs import ConfigTable

PATH = "checkpoints/multimodal-hesc"
VALUES = {
    "arch.planner_diversity_loss_weight": 0.01,
    "arch.hidden_size": 1024,
    "checkpoint_path": PATH,
    "data_paths": [f"datasets/{number}-of-several" for number in range(12)],
}
SOURCES = {
    "arch.hidden_size": "configs/arch/multimodal_hesc.yaml:10",
    "checkpoint_path": "configs/models/vision.yaml:18",
}


def drawn(table: ConfigTable, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None, highlight=False).print(table)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_values_and_sources_stay_whole(width: int) -> None:
    lines = drawn(ConfigTable(VALUES, SOURCES), width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert {*VALUES, PATH, "datasets/11-of-several]", "arch/multimodal_hesc.yaml:10", "models/vision.yaml:18"} <= {
        *words
    }
    assert next(line for line in lines if line.startswith("checkpoint_path")).split()[:2] == ["checkpoint_path", PATH]


def test_a_source_stands_beside_its_value_where_there_is_space() -> None:
    few = {key: value for key, value in VALUES.items() if key != "data_paths"}
    for width, beside in ((60, False), (80, True)):
        lines = drawn(ConfigTable(few, SOURCES), width)
        first = next(line for line in lines if line.startswith("arch.hidden_size"))
        assert ("multimodal_hesc" in first) == beside
    wide = drawn(ConfigTable(few, SOURCES), 120)
    assert len(wide) == 2 + len(few)  # the headers and their rule
    assert wide[0].split()[:3] == ["key", "value", "source,"]
