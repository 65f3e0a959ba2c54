from __future__ import annotations

import re
from collections import Counter

import pytest

from dataset_builders.lib.text.stories import MAX_CHARACTERS, story
from dataset_builders.lib.text.stories_grammar import PLOTS


@pytest.fixture(scope="module")
def sample() -> list[str]:
    return [story(0, index) for index in range(20_000)]


def test_story_is_a_function_of_seed_and_index() -> None:
    assert story(7, 12345) == story(7, 12345)
    assert story(7, 12345) != story(8, 12345)
    # A known value: the same text on every platform and Python version, or GRAMMAR_VERSION must change.
    assert story(0, 1).startswith("Toby the frog and Hazel the mouse lived in the same wood. One windy day, Toby found")


def test_tens_of_thousands_are_distinct(sample: list[str]) -> None:
    assert len(set(sample)) == len(sample)


def test_stories_are_short_plain_text_without_unfilled_slots(sample: list[str]) -> None:
    for text in sample:
        assert text.isascii() and text.isprintable()
        assert 200 < len(text) <= MAX_CHARACTERS
        assert "{" not in text and "?" not in text[:1] and "  " not in text


def test_the_hero_of_the_first_sentences_is_in_the_rest(sample: list[str]) -> None:
    for text in sample[:2000]:
        names = re.findall(r"\b[A-Z][a-z]+\b", text.split(".")[0] + text.split(".")[1])
        half = text[len(text) // 3 :]
        assert any(name in half for name in names), text


@pytest.mark.parametrize("plot", PLOTS)
def test_every_plot_has_alternatives_and_speaks_of_its_hero(plot: tuple[tuple[str, ...], ...]) -> None:
    assert len(plot) >= 7
    assert sum("{hero}" in sentence or "{he}" in sentence for beat in plot for sentence in beat) >= 5


def test_vocabulary_is_that_of_a_child_yet_not_tiny(sample: list[str]) -> None:
    words = Counter(word for text in sample for word in re.findall(r"[a-z]+", text.lower()))
    assert 500 < len(words) < 2000
