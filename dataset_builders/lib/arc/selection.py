"""Choose distinct augmentations of a task: a function of (seed, task id, symmetry of the task) alone.

Two augmentations that differ by an element of the task's stabiliser give the same task. Each such class has one
canonical key, the least over the stabiliser; choosing distinct keys therefore chooses distinct tasks, exactly and
without making one. Where there are many classes, random augmentations are drawn and repeats skipped; where there are
few, all classes are listed and put in random order.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng, dihedral
from trm_cli.data.arc import layout, transforms

from .symmetry import MOVABLE_COLOURS, TaskSymmetry

Codes = NDArray[np.uint32]
# Below this many classes per wanted augmentation, drawing would repeat itself too often.
_PLENTY = 4
_COMPOSE = np.array(dihedral.COMPOSE, dtype=np.int64)
_BITS_PER_COLOUR = 4


def choose_codes(symmetry: TaskSymmetry, count: int, seed: int, task_id: str) -> Codes:
    """Codes of the plain task and of up to `count` further distinct augmentations: [1 + min(count, distinct - 1)]."""
    wanted = min(count, symmetry.distinct - 1)
    plain = np.zeros(1, dtype=np.uint32)
    if wanted == 0:
        return plain
    if symmetry.distinct > _PLENTY * (wanted + 1):
        chosen = _draw(symmetry, wanted, seed, task_id)
    else:
        chosen = _list_all(symmetry, wanted, seed, task_id)
    return np.concatenate([plain, chosen])


def canonical_keys(
    symmetry: TaskSymmetry, symmetries: NDArray[np.integer], perms: NDArray[np.integer]
) -> NDArray[np.int64]:
    """One key [N] per augmentation (symmetries [N], perms [N, 10]): equal exactly where the augmented tasks are."""
    keys = np.full(len(symmetries), np.iinfo(np.int64).max)
    for first, images in symmetry.stabiliser:
        key = _COMPOSE[symmetries, first]
        for colour in images:
            key = (key << _BITS_PER_COLOUR) | perms[:, colour]
        keys = np.minimum(keys, key)
    return keys


def _draw(symmetry: TaskSymmetry, wanted: int, seed: int, task_id: str) -> Codes:
    codes = np.zeros(1, dtype=np.int64)
    keys = canonical_keys(symmetry, *transforms.decode(codes))
    drawn = 0
    while len(codes) <= wanted:
        counters = np.arange(drawn, drawn + wanted + wanted // 2 + 16)
        drawn += len(counters)
        fresh = counter_rng.integers(seed, f"arc/augmentations/{task_id}", counters, transforms.CODES)
        codes = np.concatenate([codes, fresh])
        keys = np.concatenate([keys, canonical_keys(symmetry, *transforms.decode(fresh))])
        first = np.sort(np.unique(keys, return_index=True)[1])
        codes, keys = codes[first], keys[first]
    return codes[1 : wanted + 1].astype(np.uint32)


def _list_all(symmetry: TaskSymmetry, wanted: int, seed: int, task_id: str) -> Codes:
    colours = symmetry.colours
    choices = np.array(list(permutations(range(1, MOVABLE_COLOURS + 1), len(colours))), dtype=np.uint8)
    perms = np.zeros((len(choices), layout.COLOURS), dtype=np.uint8)
    absent = [colour for colour in range(1, layout.COLOURS) if colour not in colours]
    for row, choice in zip(perms, choices, strict=True):
        row[list(colours)] = choice
        row[absent] = sorted(set(range(1, layout.COLOURS)) - set(choice.tolist()))
    symmetries = np.repeat(np.arange(dihedral.COUNT), len(perms))
    perms = np.tile(perms, (dihedral.COUNT, 1))
    keys = canonical_keys(symmetry, symmetries, perms)
    plain = canonical_keys(symmetry, *transforms.decode(np.zeros(1, dtype=np.int64)))
    # The first member of every class, the class of the plain task left out.
    unique, first = np.unique(keys, return_index=True)
    first = first[unique != plain[0]]
    order = counter_rng.permutation(seed, f"arc/augmentations/{task_id}", len(first))
    picked = first[order[:wanted]]
    return transforms.encode(symmetries[picked], perms[picked])
