"""Datasets of the original builders: no manifest, and no word about what kind of puzzle they hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_builders import maze
from tests.support.commands import trm_here

OURS = ("kind", "augmentation", "format_version", "box")


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """Mazes as the original builder leaves them."""
    flags = ["--size", "6", "--min-path", "4", "--train", "2", "--test", "2", "--num-aug", "0", "--workers", "1"]
    assert maze.main(["--output-dir", str(tmp_path / "mazes"), *flags]) == 0
    (tmp_path / "mazes/manifest.json").unlink()
    for path in (tmp_path / "mazes").glob("*/dataset.json"):
        document = json.loads(path.read_text())
        path.write_text(json.dumps({key: value for key, value in document.items() if key not in OURS}))
    return tmp_path


def test_mazes_are_drawn_as_mazes(original: Path) -> None:
    done = trm_here("inspect-dataset", "mazes", "--show", "1", cwd=original)
    assert done.returncode == 0, done.stderr
    drawing = done.stdout[done.stdout.index("train 0") :]
    assert {"#", "S", "G", "o"} <= set(drawing)
    assert not {"1", "2", "3", "4"} & set(drawing.partition("\n")[2])


def test_without_a_manifest_there_is_nothing_to_verify_and_no_mistake(original: Path) -> None:
    done = trm_here("inspect-dataset", "mazes", "--verify", cwd=original)
    assert done.returncode == 0, done.stderr
    assert "not verified: there is no manifest.json" in done.stdout
    done = trm_here("inspect-dataset", "mazes", "--verify", "--json", cwd=original)
    assert json.loads(done.stdout)["damaged"] is None
