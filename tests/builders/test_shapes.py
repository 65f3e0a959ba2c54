"""Generated pictures: a function of seed and index, drawn as their label says, and learnable through the capsules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset_builders.lib.stream.shapes import _COLOURS, draw, scene, shape_source
from dataset_builders.streaming_builder import main
from trm_cli.data.opening import open_data

COLOURS = {tuple(rgb): name for name, rgb in _COLOURS.items()}


def test_a_picture_is_a_function_of_seed_and_index() -> None:
    assert scene(3, 7) == scene(3, 7)
    assert len({repr(scene(seed, index)) for seed in (0, 1) for index in range(300)}) == 600


@pytest.mark.parametrize("side", [28, 56, 112])
def test_the_label_says_what_is_drawn(side: int) -> None:
    for index in range(40):
        things, label = scene(0, index)
        picture = draw(things, side)
        assert picture.shape == (3, side, side)
        first, second = (np.argwhere((draw([thing], side) != 255).any(0)).mean(0) for thing in things)
        words = label.split()
        assert words[:2] == [things[0].colour, things[0].shape] and words[-2:] == [things[1].colour, things[1].shape]
        relation = " ".join(words[2:-2])
        down, across = second - first
        assert {"left of": across > 0, "right of": across < 0, "above": down > 0, "below": down < 0}[relation]
        seen = {COLOURS[tuple(pixel)] for pixel in picture.reshape(3, -1).T.tolist() if pixel != [255] * 3}
        assert seen == {thing.colour for thing in things}


def test_things_never_touch() -> None:
    for index in range(200):
        one, other = scene(1, index)[0]
        both = ((draw([one], 112) != 255).any(0) & (draw([other], 112) != 255).any(0)).any()
        assert not both


def test_splits_are_decided_by_what_is_shown() -> None:
    small, large = (shape_source("shapes", count, 56, 0, 0.2) for count in (100, 400))
    for split in ("train", "test"):
        assert small.indices[split] == large.indices[split][: small.count(split)]
    assert not set(large.indices["train"]) & set(large.indices["test"])
    assert 0.1 < large.count("test") / 400 < 0.3


def test_they_are_built_and_read(tmp_path: Path) -> None:
    flags = ["--sources", "shapes", "--limits", "shapes=40", "--test-share", "0.3", "--picture-side", "28"]
    assert main(["--output-dir", str(tmp_path / "d"), *flags, "--workers", "1"]) == 0
    data = open_data([tmp_path / "d"], "test", canvas_size=56)
    (batch,) = data.eval_batches(64)
    rows = np.flatnonzero(batch["valid"])
    assert batch["picture"].shape == (64, 3, 28, 28)
    assert (batch["canvas_kind"][rows] == 2).all() and (batch["target_kind"][rows] == 1).all()
    labels = {bytes((row[row >= 12] - 12).astype(np.uint8)).decode() for row in batch["target"][rows]}
    assert labels <= {scene(0, index)[1] for index in range(40)}
