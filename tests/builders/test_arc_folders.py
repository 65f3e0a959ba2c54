"""ARC tasks as their authors publish them: one JSON a task in folders, test inputs without outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dataset_builders import arc, streaming_builder
from trm_cli.data.arc.test_inputs import read_tests

FEW = ["--num-aug", "3", "--workers", "1"]


def task(number: int, *, tests: int = 1, answered: bool = True) -> dict[str, list[dict[str, list[list[int]]]]]:
    """A task of its own for each number."""
    colours = [1 + number % 9, 1 + number // 9 % 9]

    def pair(size: int) -> dict[str, list[list[int]]]:
        return {"input": [[0] * size, [colours[0]] * size], "output": [[colours[1]] * (number % 7 + 1)] * size}

    asked = [pair(5 + size) for size in range(tests)]
    if not answered:
        asked = [{"input": one["input"]} for one in asked]
    return {"train": [pair(2), pair(3), pair(4)], "test": asked}


def write(path: Path, document: object, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(document).encode(encoding))


def build(root: Path, source: Path, *flags: str) -> int:
    return arc.main(["--output-dir", str(root), "--source", str(source), *FEW, *flags])


def facts(root: Path) -> tuple[list[str], int, int]:
    """The subsets, and the groups of both splits."""
    manifest = json.loads((root / "manifest.json").read_text())
    return manifest["flags"]["subsets"], *(manifest["finished"][split]["total_groups"] for split in ("train", "test"))


@pytest.mark.parametrize("below", ["", "data"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_arc_agi(below: str, encoding: str, tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "in" / below / "training" / f"{number:08x}.json", task(number), encoding)
    for number in range(4, 6):
        write(tmp_path / "in" / below / "evaluation" / f"{number:08x}.json", task(number, tests=2), encoding)
    write(tmp_path / "in/package.json", {"name": "of the web page in the repository"})
    if not below:
        (tmp_path / "in/package.json").unlink()
    assert build(tmp_path / "d", tmp_path / "in") == 0
    assert facts(tmp_path / "d") == (["training", "evaluation"], 6, 2)
    assert [len(one.pairs) for one in read_tests(tmp_path / "d")] == [2, 2]


def test_concept_arc_is_one_set(tmp_path: Path) -> None:
    for number, concept in enumerate(["AboveBelow", "Center", "Copy"]):
        for item in range(2):
            write(tmp_path / "in/corpus" / concept / f"{concept}{item}.json", task(2 * number + item, tests=3))
    write(tmp_path / "in/MinimalTasks/CopyMinimal.json", task(40))
    assert build(tmp_path / "d", tmp_path / "in") == 0
    assert facts(tmp_path / "d") == (["corpus"], 6, 6)
    assert build(tmp_path / "e", tmp_path / "in", "--subsets", "Center", "Copy") == 0
    assert facts(tmp_path / "e") == (["Center", "Copy"], 4, 2)


def test_re_arc_has_lists_of_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        write(tmp_path / "in/tasks" / f"{number:08x}.json", task(number)["train"])
    write(tmp_path / "in/metadata.json", {"00000000": {}})
    assert build(tmp_path / "d", tmp_path / "in") == 0
    assert facts(tmp_path / "d") == (["tasks"], 3, 3)
    assert len(np.load(tmp_path / "d/train/all__inputs.npy")) == 6


def test_the_same_tasks_in_other_forms_give_the_same_rows(tmp_path: Path) -> None:
    tasks = {f"{number:08x}": task(number) for number in range(5)}
    for subset, part in (("training", list(tasks)[:3]), ("evaluation", list(tasks)[3:])):
        write(tmp_path / "kaggle" / f"arc-agi_{subset}_challenges.json", {name: tasks[name] for name in part})
        for name in part:
            write(tmp_path / "folders" / subset / "deeper" / f"{name}.json", tasks[name])
    assert build(tmp_path / "a", tmp_path / "kaggle") == build(tmp_path / "b", tmp_path / "folders") == 0
    for path in (tmp_path / "a").rglob("*.npy"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_test_inputs_without_outputs_are_asked_and_not_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = {f"{number:08x}": task(number, answered=number != 4) for number in range(5)}
    write(tmp_path / "in/arc-agi_training_challenges.json", {"t": task(33, answered=False), "u": task(34)})
    write(tmp_path / "in/arc-agi_evaluation_challenges.json", tasks)
    assert build(tmp_path / "d", tmp_path / "in") == 0
    said = capsys.readouterr().err
    assert "1 test inputs have no output: answered, not scored" in said
    assert "1 test inputs have no output: not trained on" in said
    known = [answer is not None for one in read_tests(tmp_path / "d") for _, answer in one.pairs]
    assert known == [True] * 4 + [False]
    labels = np.load(tmp_path / "d/test/all__labels.npy")
    assert labels.any(axis=1).tolist() == known
    assert np.load(tmp_path / "d/test/all__inputs.npy").any(axis=1).all()
    flags = ["--sources", f"arc:{tmp_path}/in", "stories", "--limits", "stories=200", "--workers", "1"]
    assert streaming_builder.main(["--output-dir", str(tmp_path / "s"), *flags]) == 0
    assert "1 test inputs without an output" in capsys.readouterr().err


def test_subsets_that_are_left_out_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, subset in enumerate(["training", "evaluation", "concept", "training2"]):
        write(tmp_path / "in" / f"arc-agi_{subset}_challenges.json", {f"{number}": task(number)})
    assert build(tmp_path / "d", tmp_path / "in") == 0
    said = capsys.readouterr().err
    assert "left out concept, training2; --subsets concept training2 training evaluation takes all" in said
    every = ["--subsets", "concept", "training2", "training", "evaluation"]
    assert build(tmp_path / "e", tmp_path / "in", *every) == 0
    assert "left out" not in capsys.readouterr().err
    assert facts(tmp_path / "e")[1:] == (4, 1)


def test_what_is_wrong_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    write(folder / "training/a.json", task(1))
    assert build(tmp_path / "d", folder) == 3
    assert f"{folder}: no folder for the subset 'evaluation': there is training" in capsys.readouterr().err
    write(folder / "evaluation/b.json", {"train": [], "test": []})
    assert build(tmp_path / "d", folder) == 3
    assert "evaluation/b.json: task b: 'train' must be a list" in capsys.readouterr().err
    write(folder / "evaluation/b.json", task(2))
    write(folder / "evaluation/c/b.json", task(3))
    assert build(tmp_path / "d", folder) == 3
    assert "another file" in capsys.readouterr().err
    shutil.rmtree(folder)
    folder.mkdir()
    assert build(tmp_path / "d", folder) == 3
    assert "no JSON files of tasks" in capsys.readouterr().err


FORMS = {
    "object of tasks": lambda tasks: {"all.json": tasks},
    "below a key": lambda tasks: {f"{name}.json": {"task": one} for name, one in tasks.items()},
    "lists of one": lambda tasks: {f"{name}.json": [{"id": name, **one}] for name, one in tasks.items()},
    "list of all": lambda tasks: {"all.json": [{"task_id": name, **one} for name, one in tasks.items()]},
    "an archive's folder": lambda tasks: (
        {f"re_arc/tasks/{name}.json": one for name, one in tasks.items()} | {"re_arc/metadata.json": {}}
    ),
}


def test_tasks_in_other_forms_give_the_same_rows(tmp_path: Path) -> None:
    tasks = {f"{number:08x}": task(number) for number in range(4)}
    write(tmp_path / "one.json", tasks)
    assert build(tmp_path / "plain", tmp_path / "one.json") == 0
    for form, files in FORMS.items():
        for name, document in files(tasks).items():
            write(tmp_path / form / name, document)
        assert build(tmp_path / "d" / form, tmp_path / form) == 0
        for path in (tmp_path / "plain").rglob("*.npy"):
            assert path.read_bytes() == (tmp_path / "d" / form / path.relative_to(tmp_path / "plain")).read_bytes()


def test_a_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "arc-agi_evaluation_challenges.json", {"a": task(1, answered=False), "b": task(2)})
    write(tmp_path / "arc-agi_evaluation_solutions.json", {one: [[[1]]] for one in "ab"})
    assert build(tmp_path / "d", tmp_path / "arc-agi_evaluation_challenges.json") == 0
    assert facts(tmp_path / "d") == (["evaluation"], 2, 2)
    assert "no output" not in capsys.readouterr().err
    (tmp_path / "arc.zip").write_bytes(b"PK\x03\x04")
    assert build(tmp_path / "e", tmp_path / "arc.zip") == 3
    assert "arc.zip is a zip archive (`unzip" in capsys.readouterr().err
