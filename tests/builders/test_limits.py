"""What a source holds is used; what a limit leaves out is said on the screen, in the manifest, by inspect-dataset."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataset_builders import arc, maze, streaming_builder, sudoku, text
from dataset_builders.lib import limits
from dataset_builders.lib.limits import UNKNOWN, Limits
from tests.builders.test_sudoku_sources import rows, write_csv
from tests.support.commands import trm_here
from trm_cli.errors import DatasetError


def stories(path: Path, count: int) -> Path:
    lines = (
        json.dumps({"text": f"Story {n} is about {n % 7} foxes who lived in a wood by a lake."}) for n in range(count)
    )
    path.write_text("\n".join(lines))
    return path


def make_mazes(folder: Path) -> Path:
    folder.mkdir()
    for name, walls in (("train", range(4, 9)), ("test", range(10, 14))):
        mazes = [("S G" + "".join("#" if n == k else " " for n in range(3, 16))) for k in walls]
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("question", "answer"), *((m, m.replace("S G", "SoG")) for m in mazes)])
    return folder


def test_the_whole_of_a_file_of_ones_own_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_builders.lib.stream.settings.DEFAULT_STORIES", 60)
    own = stories(tmp_path / "own.jsonl", 90)
    flags = ["--output-dir", str(tmp_path / "d"), "--sources", "tinystories", "--tinystories-path", str(own)]
    assert streaming_builder.main(flags) == 0
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    assert sum(manifest["planned"]["records"].values()) == 90
    assert "limits" not in manifest["planned"]


Case = tuple[Callable[[list[str]], int], Callable[[Path], list[str]], dict[str, dict[str, int]]]
CASES: dict[str, Case] = {
    "stream": (
        streaming_builder.main,
        lambda root: [
            *("--sources", "tinystories", "kaggle/combined", "--test-share", "0.2"),
            *("--tinystories-path", str(stories(root / "own.jsonl", 90))),
            *("--limits", "tinystories=40", "kaggle/combined=10"),
        ],
        {
            "tinystories": {"taken": 40, "left": 50},
            "kaggle/combined training": {"taken": 10, "left": 390},
            "kaggle/combined evaluation": {"taken": 10, "left": 390},
        },
    ),
    "text": (
        text.main,
        lambda root: ["--source", str(stories(root / "own.jsonl", 90)), "--limit", "80"],
        {"documents": {"taken": 80, "left": 10}},
    ),
    "arc": (arc.main, lambda _: ["--limit", "3", "--num-aug", "0"], {"tasks": {"taken": 6, "left": 794}}),
    "sudoku": (
        sudoku.main,
        lambda root: [
            *("--box", "2", "2", "--num-aug", "0", "--train", "10", "--test", "5", "--source"),
            str(write_csv(root / "train.csv", rows(30, test=False)).parent),
        ],
        {"train puzzles": {"taken": 10, "left": 20}, "test puzzles": {"taken": 5, "left": 7}},
    ),
    "maze": (
        maze.main,
        lambda root: ["--source", str(make_mazes(root / "mazes")), "--test", "1", "--train", "1", "--num-aug", "0"],
        {"train mazes": {"taken": 1, "left": 4}, "test mazes": {"taken": 1, "left": 3}},
    ),
}


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("builder", CASES)
def test_what_a_limit_leaves_is_said_everywhere(
    builder: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    main, flags, expected = CASES[builder]
    write_csv(tmp_path / "test.csv", rows(12, test=True))
    root = tmp_path / "d"
    assert main(["--output-dir", str(root), "--workers", "1", *flags(tmp_path)]) == 0
    lines = [f"{name}: limited to {n['taken']}; left out: {n['left']}" for name, n in expected.items()]
    said = capfd.readouterr().err
    assert [line for line in lines if line not in said] == [], said
    assert json.loads((root / "manifest.json").read_text())["planned"]["limits"] == expected
    shown = trm_here("inspect-dataset", str(root), cwd=tmp_path)
    assert [line for line in lines if line not in shown.stdout] == [], shown.stdout
    assert json.loads(trm_here("inspect-dataset", str(root), "--json", cwd=tmp_path).stdout)["limits"] == expected


def test_counting_what_is_left_is_bounded_and_survives_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged() -> Iterator[int]:
        yield from range(5)
        raise DatasetError("damaged")

    monkeypatch.setattr(limits, "MOST_COUNTED", 10)
    found = Limits()
    assert list(found.take("many", range(100), 5)) == [0, 1, 2, 3, 4]
    assert list(found.take("hub", range(100), 5, countable=False)) == [0, 1, 2, 3, 4]
    assert list(found.take("damaged", damaged(), 3)) == [0, 1, 2]
    assert list(found.take("all", range(5), 5)) == [0, 1, 2, 3, 4]
    left = {name: counts["left"] for name, counts in found.planned()["limits"].items()}
    assert left == {"many": "10 or more", "hub": UNKNOWN, "damaged": UNKNOWN}
