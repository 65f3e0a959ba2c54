"""The families of the benchmark card: answers against oracles written another way, and what is held out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.hesc_card.families import FAMILIES, FIRST_ROWS, generator, known_tasks, many_tasks
from benchmarks.hesc_card.grids import Grid
from benchmarks.hesc_card.write_tasks import draw_pairs, write_tasks

SIDES = (3, 10)


def _pairs(family: str, count: int = 40) -> list[tuple[int, Grid, Grid]]:
    """Pairs of several tasks of a family, and which task each is of."""
    chosen = next(one for one in FAMILIES if one.name == family)
    found = []
    for number in range(4):
        task = chosen.new_task(generator(7, family, number))
        chance = generator(8, family, number)
        found += [(number, *task.pair(chance, SIDES)) for _ in range(count // 4)]
    return found


def test_there_are_twenty_families_and_copying_answers_none() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) == 20
    for name, task in known_tasks(0).items():
        chance = generator(1, name)
        for _ in range(15):
            given, wanted = task.pair(chance, SIDES)
            assert not np.array_equal(given, wanted), name
            assert given.dtype == wanted.dtype == np.uint8
            assert 1 <= min(wanted.shape) <= max(wanted.shape) <= 10
            assert 3 <= min(given.shape) <= max(given.shape) <= 10, name
            assert max(given.max(), wanted.max()) <= 9


def test_a_task_is_a_function_of_its_seed_and_tasks_of_a_family_differ() -> None:
    first, again = many_tasks(3, 6), many_tasks(3, 6)
    for family in FAMILIES:
        answers = []
        for number in range(6):
            name = f"{family.name}-{number}"
            pairs = [task.pair(generator(0, name), SIDES) for task in (first[name], again[name])]
            assert all(np.array_equal(a, b) for a, b in zip(*pairs, strict=True)), name
            answers.append(tuple(grid.tobytes() + bytes(grid.shape) for grid in pairs[0]))
        assert len(set(answers)) > 1, family.name


def _fallen(grid: Grid) -> Grid:
    """Gravity downwards by swapping neighbours until nothing moves."""
    grid, moved = grid.copy(), True
    while moved:
        moved = False
        for row in range(grid.shape[0] - 1):
            for column in range(grid.shape[1]):
                if grid[row, column] and not grid[row + 1, column]:
                    grid[row + 1, column], grid[row, column], moved = grid[row, column], 0, True
    return grid


def test_gravity_is_what_swapping_neighbours_ends_in() -> None:
    for _, given, wanted in _pairs("gravity"):
        assert any(np.array_equal(np.rot90(_fallen(np.rot90(given, turn)), -turn), wanted) for turn in range(4))


def test_enclosed_background_is_what_a_flood_from_outside_does_not_reach() -> None:
    for _, given, wanted in _pairs("fill_enclosed"):
        reached = np.pad(np.zeros(given.shape, bool), 1, constant_values=True)
        free = np.pad(given == 0, 1, constant_values=True)
        for _ in range(given.size):
            near = reached.copy()
            near[1:] |= reached[:-1]
            near[:-1] |= reached[1:]
            near[:, 1:] |= reached[:, :-1]
            near[:, :-1] |= reached[:, 1:]
            reached = near & free
        enclosed = (given == 0) & ~reached[1:-1, 1:-1]
        assert enclosed.any()
        assert np.array_equal(wanted != given, enclosed)
        assert len(set(wanted[enclosed].tolist())) == 1


def test_counted_cells_and_commonest_colours() -> None:
    for _, given, wanted in _pairs("count_cells"):
        filled = int((wanted > 0).sum())
        assert (wanted.flatten()[:filled] > 0).all()
        assert filled in {int((given == colour).sum()) for colour in range(1, 10)}
    for number, given, wanted in _pairs("majority"):
        counts = {int(colour): int((given == colour).sum()) for colour in np.unique(given)}
        (chosen,) = np.unique(wanted).tolist()
        assert counts[chosen] in (max(counts.values()), min(counts.values())), number


def test_bars_are_sorted_and_rays_end_at_the_edge() -> None:
    for _, given, wanted in _pairs("sort_bars"):
        heights = (wanted > 0).sum(0).tolist()
        assert sorted((given > 0).sum(0).tolist()) == sorted(heights)
        assert heights in (sorted(heights), sorted(heights, reverse=True))
    for _, given, wanted in _pairs("rays"):
        added = int((wanted != given).sum())
        assert added
        assert np.array_equal(wanted[given > 0], given[given > 0])


@pytest.mark.parametrize("name", ["keep_one", "mark_one", "colour_by_size"])
def test_objects_keep_their_shapes(name: str) -> None:
    for _, given, wanted in _pairs(name):
        assert ((wanted > 0) <= (given > 0)).all()
        if name == "keep_one":
            assert np.array_equal(wanted[wanted > 0], given[wanted > 0])
        else:
            assert np.array_equal(wanted > 0, given > 0)


def test_the_first_rows_do_what_their_names_say() -> None:
    grid = np.arange(6, dtype=np.uint8).reshape(2, 3)
    answers = {name: task.answer(grid).tolist() for name, task in FIRST_ROWS.items()}
    assert answers == {
        "copy": [[0, 1, 2], [3, 4, 5]],
        "recolour": [[1, 0, 3], [2, 5, 4]],
        "mirror": [[2, 1, 0], [5, 4, 3]],
        "transpose": [[0, 3], [1, 4], [2, 5]],
        "shift": [[4, 5, 3], [1, 2, 0]],
    }


def test_written_tasks_hold_out_what_no_trained_grid_equals(tmp_path: Path) -> None:
    write_tasks(tmp_path, {"copy": FIRST_ROWS["copy"]}, pairs=30, tests=10, allowed=(2, 3), seed=0, subset="evaluation")
    challenges = json.loads((tmp_path / "arc-agi_evaluation_challenges.json").read_text())["copy"]
    solutions = json.loads((tmp_path / "arc-agi_evaluation_solutions.json").read_text())["copy"]

    def form(grid: list[list[int]]) -> bytes:
        """The least of the eight views of a grid, colours but 0 numbered as they come."""
        views = []
        for turned in [np.rot90(np.array(grid), k) for k in range(4)]:
            for view in (turned, turned.T):
                names = {0: 0}
                cells = [names.setdefault(int(colour), len(names)) for colour in view.flatten()]
                views.append(bytes([*view.shape, *cells]))
        return min(views)

    trained = {form(pair["input"]) for pair in challenges["train"]}
    assert len(challenges["train"]) == len(trained)
    assert not trained & {form(grid) for grid in solutions}


def test_a_task_without_enough_pairs_says_so() -> None:
    with pytest.raises(ValueError, match="copy has about"):
        draw_pairs("copy", FIRST_ROWS["copy"], 60, (1, 1), 0)
