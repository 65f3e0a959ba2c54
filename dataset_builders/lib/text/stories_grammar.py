"""The grammar of the sample stories, read from two files beside this one: `stories_words.txt` and `stories_plots.txt`.

A plot is a list of beats (separated by an empty line), each a list of alternative sentences (one a line). A sentence
names what it speaks of by slots (`{hero}`, `{his}`, `{object}`, `{place}` ...), which keep their meaning through the
whole story and are filled in `stories.py`. A beat whose sentences begin with "?" may be left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

Beat = tuple[str, ...]
Plot = tuple[Beat, ...]


class Person(NamedTuple):
    """A name and the three pronouns that stand for it later in the story."""

    name: str
    he: str
    him: str
    his: str


class Thing(NamedTuple):
    """A toy or tool: what it is called, what one does with it, and where it hides when it is lost."""

    noun: str
    play: str
    hiding: str


class Place(NamedTuple):
    """A place as a goal ("to the park"), as a location ("in the park"), and something that is always there."""

    name: str
    within: str
    feature: str


def _sections(file: str) -> dict[str, str]:
    """Map the headings of a file (`[name: remarks]`) to the text below each."""
    text = (Path(__file__).parent / file).read_text(encoding="ascii")
    parts = re.split(r"^\[([^]:]+).*\]\n", text, flags=re.MULTILINE)
    return {name: body.strip("\n") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


_WORDS = _sections("stories_words.txt")


def _list(name: str) -> tuple[str, ...]:
    return tuple(_WORDS[name].replace("\n", " ").split(", "))


def _rows(name: str) -> list[list[str]]:
    return [line.split(" | ") for line in _WORDS[name].splitlines()]


def _people(name: str, he: str, him: str, his: str) -> tuple[Person, ...]:
    return tuple(Person(one, he, him, his) for one in _WORDS[name].split())


_GIRLS, _BOYS = _people("girls", "she", "her", "her"), _people("boys", "he", "him", "his")
PEOPLE = tuple(person for pair in zip(_GIRLS, _BOYS, strict=True) for person in pair)
# An animal of a story is named by one of these and called by its kind the first time.
ANIMAL_NAMES = _people("male animals", "he", "him", "his") + _people("female animals", "she", "her", "her")
ANIMALS = _list("animals")
ELDERS = tuple(Person(*row) for row in _rows("elders"))
COLOURS, LOOKS = _list("colours"), _list("looks")
THINGS = tuple(Thing(*row) for row in _rows("things"))
PLACES = tuple(Place(*row) for row in _rows("places"))
FOODS, PLANTS, LOST_ANIMALS, HEAVY = (_list(name) for name in ("foods", "plants", "lost animals", "heavy things"))
TIMES, HAPPY, SAD = _list("times"), _list("happy"), _list("sad")
BRAVE_DEEDS, NOISES, RULES = _rows("brave deeds"), _rows("noises"), _rows("rules")
ENDINGS = tuple(_WORDS["endings"].splitlines())

PLOTS: tuple[Plot, ...] = tuple(
    tuple(tuple(beat.splitlines()) for beat in plot.split("\n\n")) for plot in _sections("stories_plots.txt").values()
)
