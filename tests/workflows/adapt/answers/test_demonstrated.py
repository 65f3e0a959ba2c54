"""`trm adapt` with a network that reads demonstrations: it answers without learning, and may learn first."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dataset_builders import streaming_builder
from tests.support.arc_tasks import NEW, pairs, task, write_challenges
from tests.support.commands import trm
from tests.support.runs import HESC, train
from trm_cli.data import dihedral
from trm_cli.data.arc.transforms import Transform, augment_grid
from trm_cli.data.stream.augmentations import View

KNOWN = {name: {"train": pairs(rule, 3), "test": pairs(rule, 1, seed=1)} for name, rule in NEW.items()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on puzzles and pictures."""
    home = tmp_path_factory.mktemp("home")
    write_challenges(home / "known/arc-agi_training_challenges.json", KNOWN)
    flags = ["--sources", f"arc:{home / 'known'}", "pictures", "--subsets", "training", "--limits", "pictures=12"]
    flags += ["--augment", "--augmentations", "2", "--demonstrations", "2", "--workers", "1"]
    assert streaming_builder.main(["--output-dir", str(home / "data"), *flags]) == 0
    train(home / "data", home / "checkpoints/source", *HESC, arch="multimodal_hesc_mini", stop_at_step=2)
    tasks = {
        "mirror": task(NEW["mirror"], 2),
        "wide": {"train": pairs(NEW["flip"], 2), "test": [{"input": [[1] * 13]}, {"input": [[1, 2]]}]},
        "damaged": {"train": [], "test": [{"input": [[1]]}]},
    }
    write_challenges(home / "new_challenges.json", tasks)
    return home


def adapted(home: Path, *words: object) -> dict[str, object]:
    done = trm("adapt", "source", "new_challenges.json", "--augmentations", 2, "--json", *words, cwd=home)
    assert done.returncode == 0, done.stderr
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_without_learning_every_readable_test_input_is_answered(home: Path) -> None:
    found = adapted(home, "--budget", 0, "--out", "answers.json")
    assert (found["answered"], found["test_inputs"], found["updates"], found["votes"]) == (3, 5, 0, 9)
    answers = json.loads((home / "answers.json").read_text())
    assert list(answers) == ["mirror", "wide", "damaged"]
    empty = [[0, 0], [0, 0]]
    assert answers["wide"][0] == {"attempt_1": empty, "attempt_2": empty}, "13 cells do not fit its board"
    assert answers["wide"][1]["attempt_1"] != empty
    assert not (home / str(found["run"]) / "data").exists(), "nothing is built"
    assert adapted(home, "--updates", 0)["votes"] == 9


def test_it_learns_the_new_tasks_first_though_its_run_had_pictures(home: Path) -> None:
    found = adapted(home, "--updates", 2)
    assert (found["answered"], found["updates"], found["votes"]) == (3, 2, 9)
    names = json.loads((home / str(found["run"]) / "data/identifiers.json").read_text())
    assert names[1] == "mirror" and "copied row" in names


def test_what_needs_a_puzzle_table_is_refused(home: Path) -> None:
    done = trm("adapt", "source", "new_challenges.json", "--updates", 1, "--leave-out", 1, cwd=home)
    assert done.returncode == 2 and "for networks that learn a row for each task" in done.stderr


def test_an_answer_is_turned_back() -> None:
    grid = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for symmetry in range(dihedral.COUNT):
        shown = Transform(symmetry, (0, 3, 1, 2, 9, 5, 4, 8, 7, 6))
        assert np.array_equal(augment_grid(augment_grid(grid, shown), View(shown, 0).undone), grid)
