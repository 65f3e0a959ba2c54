"""What a recipe is said to build before it is built looks as what its builder builds."""

from __future__ import annotations

import pytest

from dataset_builders import streaming_builder
from dataset_builders.lib.stream.flags import make_parser
from dataset_builders.lib.stream.pictures.strokes import LABELS
from trm_cli.config import registry
from trm_cli.config.compose import compose
from trm_cli.config.dataset_args import builder_flags
from trm_cli.data.stream.blank import blank_rows, kinds_of, longest_kind
from trm_cli.data.stream.recipe import shape_of_recipe
from trm_cli.data.stream.records import GRID, PICTURE, TEXT
from trm_cli.data.stream.shape import StreamShape

STREAMS = [
    name
    for name in registry.names("models")
    if (entry := compose(name).registry) is not None and "streaming_builder" in str(entry.dataset_builder)
]


@pytest.mark.parametrize("name", STREAMS)
def test_a_recipe_says_what_its_builder_would_make(name: str) -> None:
    entry = compose(name).registry
    assert entry is not None
    options = make_parser("dataset_builders", "streaming_builder").parse_args(builder_flags(entry.dataset_args))
    shape, sources = shape_of_recipe(entry.dataset_args, 30), streaming_builder._sources(options)
    assert (shape.text_window > 0) == any("stories" in one or one.startswith("text:") for one in sources)
    assert (shape.side > 0) == any("kaggle" in one or one.startswith("arc") for one in sources)
    assert shape.text_window in (0, options.text_window)
    if "pictures" in sources:
        assert shape.picture == (options.picture_channels, options.picture_side)
        assert len(shape.labels) == len(LABELS)
    else:
        assert shape.picture is None
    assert shape.demonstrations == options.demonstrations


def test_sizes_that_the_builder_refuses_count_as_usual() -> None:
    usual = shape_of_recipe({"sources": ["stories"]}, 30)
    assert usual == StreamShape(0, 512)
    assert shape_of_recipe({"sources": ["stories"], "text_window": "long", "demonstrations": 3}, 30) == usual
    assert shape_of_recipe({}, 12).side == 12


def test_blank_rows_are_of_one_kind_and_ask_every_place() -> None:
    shape = StreamShape(3, 16, (1, 8), ("a", "b"), 2)
    assert kinds_of(shape) == (GRID, TEXT, PICTURE)
    fields = {GRID: {"cells", "size"}, TEXT: {"text"}, PICTURE: {"picture"}}
    for kind, asked in ((GRID, 9), (TEXT, 16), (PICTURE, 1)):
        batch = blank_rows(shape, kind, 2)
        assert set(batch) == {"kind", "target", "puzzle_identifiers", *fields[kind]}
        assert (batch["target"] >= 0).sum(1).tolist() == [asked] * 2
    pairs = blank_rows(shape, GRID, 2, pair_side=5)
    assert pairs["pair_cells"].shape == (2, 2, 2, 25) and (pairs["pair_size"] == 5).all()
    assert [longest_kind(shape, patches) for patches in (4, 99)] == [TEXT, PICTURE]
