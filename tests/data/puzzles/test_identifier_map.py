"""Rows of a puzzle table are found by what they stand for, compared with a dictionary of names."""

from __future__ import annotations

import numpy as np
import pytest

from trm_cli.data.arc.identifiers import NO_TASK
from trm_cli.data.puzzles.identifier_map import IdentifierMap


def drawn(random: np.random.Generator, count: int) -> IdentifierMap:
    """Identifiers after the blank one, of names and augmentations that recur in another order."""
    names = tuple(f"puzzle {number}" for number in random.permutation(12)[: random.integers(1, 12)])
    owners = random.integers(0, len(names), count)
    codes = random.choice([0, 0, 1, 7, 29_030_399], count)
    return IdentifierMap(names, np.array([NO_TASK, *owners], np.int32), np.array([0, *codes], np.int64))


def things(identifiers: IdentifierMap) -> list[tuple[str | None, int]]:
    return [
        (None if owner == NO_TASK else identifiers.names[owner], int(code))
        for owner, code in zip(identifiers.owners, identifiers.codes, strict=True)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_row_of_an_identifier_is_the_first_that_stands_for_the_same_thing(seed: int) -> None:
    random = np.random.default_rng(seed)
    before, now = drawn(random, int(random.integers(0, 60))), drawn(random, int(random.integers(0, 60)))
    known = things(before)
    expected = [known.index(thing) if thing in known else -1 for thing in things(now)]
    assert before.rows_for(now).tolist() == expected
    assert expected[0] == 0
    assert before.rows_for(before).tolist() == [known.index(thing) for thing in known]
