"""Colours of a task, numbered by what its demonstrations use them for."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.models.hesc.test_demonstrations import answers, grids
from tests.support.capsules import make
from trm_cli.models.hesc.rows.colours import colour_order
from trm_cli.models.hesc.rows.kinds import FIRST_COLOUR


def pair(given_colours: str, wanted_colours: str) -> Tensor:
    """A demonstration of boards of one row, a digit a cell: uint8 [2, 6]."""
    boards = [[int(colour) + 1 for colour in text] + [0] * (6 - len(text)) for text in (given_colours, wanted_colours)]
    return torch.tensor(boards, dtype=torch.uint8)


def numbers(*pairs: tuple[str, str]) -> list[int]:
    boards = torch.stack([pair(*one) for one in pairs])[None]
    return colour_order(boards, torch.tensor([[[1, len(a), 1, len(b)] for a, b in pairs]])).numbers[0].tolist()


def test_colours_are_numbered_by_their_use_and_then_by_how_much_they_cover() -> None:
    # 5 and 3 stay, 7 and 1 vanish, 8 and 9 are drawn.
    found = numbers(("555371", "558839"), ("573", "538"))
    assert [found[colour] for colour in (5, 3)] == [0, 1]
    assert [found[colour] for colour in (7, 1)] == [2, 3]
    assert [found[colour] for colour in (8, 9)] == [9, 8]
    assert [found[colour] for colour in (0, 2, 4, 6)] == [4, 5, 6, 7]


@given(st.lists(st.tuples(st.text("0123456789", min_size=1, max_size=6), st.text("0123456789", max_size=6)),
                min_size=1, max_size=3), st.permutations(range(10)))  # fmt: skip
def test_a_task_in_other_colours_has_the_same_numbers(pairs: list[tuple[str, str]], other: list[int]) -> None:
    def recoloured(text: str) -> str:
        return "".join(str(other[int(colour)]) for colour in text)

    found = numbers(*pairs)
    again = numbers(*[(recoloured(a), recoloured(b)) for a, b in pairs])
    assert sorted(found) == list(range(10))
    shares = [
        tuple(sum(one[side].count(str(colour)) / max(1, len(one[side])) for one in pairs) for side in (0, 1))
        for colour in range(10)
    ]
    for colour in range(10):
        if sum(abs(a - shares[colour][0]) < 1e-4 and abs(b - shares[colour][1]) < 1e-4 for a, b in shares) == 1:
            assert again[other[colour]] == found[colour]


def recoloured(batch: dict[str, Tensor], colours: Tensor) -> dict[str, Tensor]:
    table = torch.cat((torch.zeros(1, dtype=torch.long), colours + 1)).to(torch.uint8)
    return batch | {name: table[batch[name].long()] for name in ("cells", "pair_cells")}


def test_a_recoloured_task_has_the_recoloured_answer() -> None:
    model, batch = make(canonical_colours=True, pair_cells=True), grids()
    ask, paint = torch.tensor([2, 5]), torch.tensor([6, 4])
    # Inputs of one colour, outputs of another: which is which can be told whatever their names.
    rows = [3, 4]
    for row, one, two in zip(rows, ask, paint, strict=True):
        inside = batch["pair_cells"][row] > 0
        batch["cells"][row] = (batch["cells"][row] > 0) * (one + 1)
        batch["pair_cells"][row] = inside * torch.stack((one, two))[:, None].add(1)
    other = torch.tensor([3, 7, 1, 0, 9, 2, 8, 4, 6, 5])
    before, after = answers(model, batch), answers(model, recoloured(batch, other))
    for row, one, two in zip(rows, ask, paint, strict=True):
        used = torch.stack((one, two))
        torch.testing.assert_close(
            after[row][:, FIRST_COLOUR + other[used]], before[row][:, FIRST_COLOUR + used], atol=1e-5, rtol=1e-4
        )
        assert not torch.allclose(after[row][:, FIRST_COLOUR + used], before[row][:, FIRST_COLOUR + used], atol=1e-3)


def test_rows_without_demonstrations_keep_their_colours() -> None:
    batch = grids()  # of which row 0 shows none
    assert batch["pair_size"].sum((1, 2)).bool().tolist() == [False, True, True, True, True, True]
    found = [answers(make(canonical_colours=value), batch) for value in (True, False)]
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(found[0][1:], found[1][1:], atol=1e-3)
