"""Generate and solve mazes in compiled loops: carve, open loops, find shortest paths, detect symmetric duplicates.

A maze is a square of tokens: 1 wall "#", 2 free " ", 3 start "S", 4 goal "G", 5 path "o" (labels only). Everything is
integer arithmetic on arguments: no global state, and no interpreter lock while it runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.augmentation.maze import symmetry_cells
from trm_cli.data.numba_jit import compiled_loop
from trm_cli.data.puzzles import maze_text

CHARSET = maze_text.CHARACTERS[1:]
WALL, FREE, START, GOAL = maze_text.WALL, maze_text.FREE, maze_text.START, maze_text.GOAL
PATH = maze_text.WAY
NO_PATH = -1

_U0 = np.uint64(0)
_S27, _S30, _S31, _S32, _S62 = (np.uint64(shift) for shift in (27, 30, 31, 32, 62))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@compiled_loop
def _mix(value):  # type: ignore[no-untyped-def]  # compiled: types are inferred
    value = (value ^ (value >> _S30)) * _MIX_1
    value = (value ^ (value >> _S27)) * _MIX_2
    return value ^ (value >> _S31)


@compiled_loop
def _below(state, bound):  # type: ignore[no-untyped-def]
    """Draw an integer in [0, bound) and advance `state` (uint64 [1]): SplitMix64."""
    state[0] += _GOLDEN
    return np.int64(((_mix(state[0]) >> _S32) * np.uint64(bound)) >> _S32)


@compiled_loop
def neighbours_of(side):  # type: ignore[no-untyped-def]
    """Return the cells above, below, left and right of every cell: [N * N, 4], -1 where there is none."""
    result = np.full((side * side, 4), -1, dtype=np.int64)
    for cell in range(side * side):
        row, column = divmod(cell, side)
        if row > 0:
            result[cell, 0] = cell - side
        if row < side - 1:
            result[cell, 1] = cell + side
        if column > 0:
            result[cell, 2] = cell - 1
        if column < side - 1:
            result[cell, 3] = cell + 1
    return result


@compiled_loop
def _free_around(walls, around, cell):  # type: ignore[no-untyped-def]
    count = 0
    for other in around[cell]:
        if other >= 0 and not walls[other]:
            count += 1
    return count


@compiled_loop
def _carve(state, around, loops, walls):  # type: ignore[no-untyped-def]
    """Carve a maze without loops depth first, then open up to `loops` walls between its corridors.

    A wall is carved only where exactly one neighbour is free: what is free stays a tree, so any two free cells have
    one path between them. An opened wall has at least two free neighbours: it makes a loop.
    """
    cells = len(walls)
    walls[:] = True
    stack = np.empty(cells, dtype=np.int64)
    choices = np.empty(4, dtype=np.int64)
    stack[0], depth = _below(state, cells), 1
    walls[stack[0]] = False
    while depth:
        found = 0
        for other in around[stack[depth - 1]]:
            if other >= 0 and walls[other] and _free_around(walls, around, other) == 1:
                choices[found] = other
                found += 1
        if found:
            stack[depth] = choices[_below(state, found)]
            walls[stack[depth]] = False
            depth += 1
        else:
            depth -= 1
    opened = 0
    # Eight tries for each loop: some mazes hardly have a wall between two corridors.
    for _ in range(8 * loops):
        cell = _below(state, cells)
        if opened < loops and walls[cell] and _free_around(walls, around, cell) >= 2:
            walls[cell] = False
            opened += 1


@compiled_loop
def _distances(walls, around, start, distance, ways, queue):  # type: ignore[no-untyped-def]
    """Fill in steps from `start` (NO_PATH where none lead) and the number of shortest paths (2: two or more)."""
    distance[:] = NO_PATH
    ways[:] = 0
    distance[start], ways[start], queue[0] = 0, 1, start
    head, tail = 0, 1
    while head < tail:
        cell = queue[head]
        head += 1
        for other in around[cell]:
            if other < 0 or walls[other]:
                continue
            if distance[other] == NO_PATH:
                distance[other] = distance[cell] + 1
                queue[tail] = other
                tail += 1
            if distance[other] == distance[cell] + 1:
                ways[other] = min(2, ways[other] + ways[cell])
    return tail


@compiled_loop
def _mark_path(state, around, distance, goal, label):  # type: ignore[no-untyped-def]
    """Write PATH between start and goal on one shortest path; where such paths part, one is drawn."""
    choices = np.empty(4, dtype=np.int64)
    cell = goal
    while distance[cell] > 1:
        found = 0
        for other in around[cell]:
            if other >= 0 and distance[other] == distance[cell] - 1:
                choices[found] = other
                found += 1
        cell = choices[_below(state, found)]
        label[cell] = PATH


@compiled_loop
def class_hash(maze, cells):  # type: ignore[no-untyped-def]
    """Return one number for a maze [N * N] and its symmetries, from the least of their hashes. cells: [8, N * N]."""
    best = ~np.uint64(0)
    for symmetry in range(cells.shape[0]):
        value = _GOLDEN
        for cell in cells[symmetry]:
            value = (value ^ np.uint64(maze[cell])) * _MIX_1
            value ^= value >> _S31
        best = min(best, _mix(value))
    # Once more: the least of eight numbers is a small one, and the splits are told apart by the highest bits.
    return _mix(best)


@compiled_loop
def belongs_to_test(class_hash):  # type: ignore[no-untyped-def]
    """Return whether a class of mazes is for testing: `held_out.is_test_class`, in this file for numba's cache."""
    return class_hash >> _S62 == _U0


@compiled_loop
def _generate(keys, side, cells, min_path, max_loops, unique, for_test, attempts, mazes, labels, made):  # type: ignore[no-untyped-def]
    around = neighbours_of(side)
    size = side * side
    walls = np.empty(size, dtype=np.bool_)
    distance, ways, queue = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    state = np.empty(1, dtype=np.uint64)
    for index in range(len(keys)):
        state[0] = keys[index]
        for _ in range(attempts):
            _carve(state, around, _below(state, max_loops + 1), walls)
            start = _below(state, size)
            while walls[start]:
                start = _below(state, size)
            reached = _distances(walls, around, start, distance, ways, queue)
            # From the far end of the queue on: it is in order of distance, so goals far enough are the last ones.
            first = reached
            while first > 0 and distance[queue[first - 1]] > min_path:
                first -= 1
            if first == reached:
                continue
            goal = queue[first + _below(state, reached - first)]
            if unique and ways[goal] != 1:
                continue
            for cell in range(size):
                mazes[index, cell] = WALL if walls[cell] else FREE
            mazes[index, start], mazes[index, goal] = START, GOAL
            if belongs_to_test(class_hash(mazes[index], cells)) != for_test:
                continue
            for cell in range(size):
                labels[index, cell] = mazes[index, cell]
            _mark_path(state, around, distance, goal, labels[index])
            made[index] = True
            break


def generate(
    keys: NDArray[np.uint64], side: int, *, min_path: int, loops: int, unique: bool, for_test: bool, attempts: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """One maze per key: tokens [n, N * N], labels [n, N * N], and whether `attempts` were enough [n].

    The shortest path from start to goal takes more than `min_path` (at least 0) steps; `loops` is the largest number of
    opened walls (drawn evenly from 0); `unique` asks for exactly one shortest path.
    """
    mazes = np.zeros((len(keys), side * side), dtype=np.uint8)
    labels, made = np.zeros_like(mazes), np.zeros(len(keys), dtype=np.bool_)
    _generate(keys, side, symmetry_cells(side * side), min_path, loops, unique, for_test, attempts, mazes, labels, made)
    return mazes, labels, made


def class_hashes(mazes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hash of the symmetry class of every maze [n, N * N]: [n]."""
    cells = symmetry_cells(mazes.shape[1])
    return np.array([class_hash(maze, cells) for maze in mazes], dtype=np.uint64)


def shortest_path(maze: NDArray[np.uint8]) -> tuple[int, int]:
    """Steps from start to goal of a maze [N * N], or NO_PATH; and how many paths are that short (2: two or more)."""
    side = int(len(maze) ** 0.5)
    distance, ways, queue = np.empty((3, len(maze)), dtype=np.int64)
    start, goal = int(np.flatnonzero(maze == START)[0]), int(np.flatnonzero(maze == GOAL)[0])
    _distances(maze == WALL, neighbours_of(side), start, distance, ways, queue)
    return int(distance[goal]), int(ways[goal])
