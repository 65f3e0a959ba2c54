"""Windows of texts: every byte and the end mark is predicted once, with what stands before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trm_cli.data.stream.records import BEGINS, ENDS, OVERLAPS, held_out_step, text_window, window_count

SIZES = st.tuples(st.integers(1, 300), st.integers(2, 80))


def predicted(length: int, window: int, step: int) -> list[list[int]]:
    """The tokens that each window predicts, numbered: 0 the start mark, then the bytes, the end mark last."""
    found = []
    for number in range(window_count(length, window, step)):
        part = text_window(length, window, step, number)
        assert bool(part.flags & BEGINS) == (number == 0)
        first = 0 if part.flags & BEGINS else part.start + 1
        last = part.stop + (1 if part.flags & ENDS else 0)
        read = range(first, last)
        assert 0 < len(read) <= window
        found.append([token + 1 for token in read])
    assert part.flags & ENDS and part.stop == length
    return found


@given(SIZES)
def test_training_windows_predict_everything_once(sizes: tuple[int, int]) -> None:
    length, window = sizes
    tokens = [token for part in predicted(length, window, window) for token in part]
    assert tokens == list(range(1, length + 2))


@given(SIZES)
def test_held_out_windows_predict_everything_once_beside_what_was_scored(sizes: tuple[int, int]) -> None:
    length, window = sizes
    step = held_out_step(window)
    parts = predicted(length, window, step)
    tokens = []
    for number, part in enumerate(parts):
        overlaps = bool(text_window(length, window, step, number).flags & OVERLAPS)
        assert overlaps == (number > 0)
        tokens += part[window - step :] if overlaps else part
        # At least half of a window is context.
        assert not overlaps or part[window - step] - part[0] == window - step
    assert tokens == list(range(1, length + 2))
