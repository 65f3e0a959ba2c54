"""`trm inspect-dataset` shows what there is: clues and ratings, labels, a sample of each kind, sheets without holes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_builders import maze, streaming_builder, sudoku
from tests.support.commands import trm_here

FEW = ["--num-aug", "0", "--workers", "1", "--output-dir"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets of three kinds."""
    folder = tmp_path_factory.mktemp("shown")
    made = ["--box", "2", "2", "--train", "30", "--test", "4", "--min-clues", "4", "--max-clues", "8"]
    assert sudoku.main([*made, *FEW, str(folder / "sudoku")]) == 0
    assert (
        maze.main(["--size", "6", "--min-path", "4", "--train", "20", "--test", "4", *FEW, str(folder / "mazes")]) == 0
    )
    for number in range(24):
        path = folder / "pictures" / ("cat" if number % 3 else "old dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 20, 3), number * 9, np.uint8)).save(path)
    sources = ["kaggle/combined", "stories", f"images:{folder}/pictures"]
    flags = ["--sources", *sources, "--limits", "stories=600", "kaggle/combined=4", "--workers", "1"]
    assert streaming_builder.main([*flags, "--output-dir", str(folder / "mixed")]) == 0
    return folder


def test_clues_ratings_and_paths(folder: Path) -> None:
    document = json.loads(trm_here("inspect-dataset", "sudoku", "--json", cwd=folder).stdout)
    found = {one["unit"]: one for one in document["splits"]["train"]["lengths"]}
    assert set(found) == {"tokens of the input", "clues", "rating"}
    assert sum(found["clues"]["counts"]) == 30
    assert len(found["clues"]["counts"]) > 1
    screen = trm_here("inspect-dataset", "sudoku", cwd=folder).stdout
    assert "clues, 30 rows of train\n" in screen
    assert "tokens of the input, 30 rows of train: all 16" in screen
    assert "path length, 20 rows of train\n" in trm_here("inspect-dataset", "mazes", cwd=folder).stdout


def test_labels_of_pictures(folder: Path) -> None:
    labels = json.loads(trm_here("inspect-dataset", "mixed", "--json", cwd=folder).stdout)["splits"]["train"]["labels"]
    assert set(labels) <= {"cat", "old dog"}
    assert f"labels of train: cat {labels['cat']}" in trm_here("inspect-dataset", "mixed", cwd=folder).stdout


def test_a_sample_of_each_kind(folder: Path) -> None:
    from trm_cli.data.samples import GridSample, PictureSample, TextSample, read_samples

    for count in (3, 4, 7):
        kinds = [type(sample) for sample in read_samples(folder / "mixed", "train", count)]
        assert len(kinds) == count
        for kind in (GridSample, TextSample, PictureSample):
            assert count // 3 <= kinds.count(kind) <= count // 3 + 1


@pytest.mark.parametrize("name", ["sudoku", "mazes"])
def test_sheets_are_filled(name: str, folder: Path, tmp_path: Path) -> None:
    done = trm_here("inspect-dataset", str(folder / name), "--out", "sheet.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    used = (pixels < 250).any(axis=0)
    assert used[len(used) // 2 :].any(), "the right half holds samples as well"
    assert used.nonzero()[0].max() > len(used) - 40
    rows = (pixels < 250).any(axis=1)
    assert np.diff(np.flatnonzero(rows)).max() < 60, "no band of the sheet is empty"
