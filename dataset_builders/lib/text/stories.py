"""Generate sample stories from a small grammar of characters, places, wants, turns, feelings and endings.

For learning without a download. Story i is a pure function of (seed, i): no state, the same text on every platform.
The same character, thing and place are carried through a story, so that there is something to learn beyond spelling.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from . import stories_grammar as grammar
from .stories_grammar import Person, Plot

# Part of every dataset's fingerprint: raise it when a word or a sentence changes.
GRAMMAR_VERSION = 1
# A story never gets longer than this, so that it is one record.
MAX_CHARACTERS = 768

T = TypeVar("T")


class _Chooser:
    """Choices out of one stream; only `random()` is used, whose values Python promises to keep."""

    def __init__(self, seed: int, index: int) -> None:
        self._random = random.Random(f"stories {GRAMMAR_VERSION} {seed} {index}").random

    def pick(self, options: Sequence[T]) -> T:
        """Return one of `options`, each as likely as the others."""
        return options[int(self._random() * len(options))]

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._random() < probability


def story(seed: int, index: int) -> str:
    """Return story `index` of the collection `seed`: one paragraph of ASCII, at most MAX_CHARACTERS long."""
    choose = _Chooser(seed, index)
    plot = choose.pick(grammar.PLOTS)
    slots, opening = _cast(choose)
    ending = choose.pick(grammar.ENDINGS) if choose.chance(0.8) else ""
    sentences = [(opening, False), *_beats(plot, choose)]
    if ending:
        sentences.append((ending, True))
    return _fit([(sentence.format_map(slots), may_go) for sentence, may_go in sentences])


def _beats(plot: Plot, choose: _Chooser) -> list[tuple[str, bool]]:
    """Return (sentence, may be left out) for the beats told; an optional beat is, two times out of three."""
    told = []
    for beat in plot:
        sentence = choose.pick(beat)
        wanted = choose.chance(2 / 3)
        if not sentence.startswith("?"):
            told.append((sentence, False))
        elif wanted:
            told.append((sentence[1:], True))
    return told


def _fit(sentences: list[tuple[str, bool]]) -> str:
    """Join (sentence, may be left out); leave optional ones out, the first ones first, while the story is too long."""
    while True:
        text = " ".join(sentence for sentence, _ in sentences)
        optional = [number for number, (_, may_go) in enumerate(sentences) if may_go]
        if len(text) <= MAX_CHARACTERS or not optional:
            return text
        del sentences[optional[0]]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _cast(choose: _Chooser) -> tuple[dict[str, str], str]:
    """Choose who and what the story is about. Returns the slots, and the sentence that introduces the characters."""
    if choose.chance(0.3):
        hero, friend, opening = _animal_cast(choose)
    else:
        hero, friend, opening = _human_cast(choose)
    thing, place = choose.pick(grammar.THINGS), choose.pick(grammar.PLACES)
    colour = choose.pick(grammar.COLOURS)
    look = f"{choose.pick(grammar.LOOKS)} {colour}" if choose.chance(0.3) else colour
    second = choose.pick([other for other in grammar.COLOURS if other != colour])
    deed, fear = choose.pick(grammar.BRAVE_DEEDS)
    noise, cause = choose.pick(grammar.NOISES)
    forbidden, harm, cure = choose.pick(grammar.RULES)
    slots = _person_slots(hero, friend, choose.pick(grammar.ELDERS)) | {
        "object": f"{look} {thing.noun}",
        "a_object": _article(f"{look} {thing.noun}"),
        "noun": thing.noun,
        "play": thing.play,
        "hiding": thing.hiding,
        "colour": colour,
        "colour2": second,
        "place": place.name,
        "within": place.within,
        "feature": place.feature,
        "when": choose.pick(grammar.TIMES),
        "food": choose.pick(grammar.FOODS),
        "plant": choose.pick(grammar.PLANTS),
        "baby": choose.pick(grammar.LOST_ANIMALS),
        "heavy": choose.pick(grammar.HEAVY),
        "happy": choose.pick(grammar.HAPPY),
        "sad": choose.pick(grammar.SAD),
        "deed": deed,
        "deed_done": "what the others had done",
        "fear": fear,
        "fear_cap": _capital(fear),
        "noise": noise,
        "cause": cause,
        "forbidden": forbidden,
        "harm": harm,
        "cure": cure.format(him=hero.him),
    }
    return slots, opening


def _person_slots(hero: Person, friend: Person, elder: Person) -> dict[str, str]:
    """Return names and pronouns: `he`, `him`, `his` of the hero, with f of the friend, with e of the elder."""
    slots = {"hero": hero.name, "friend": friend.name, "elder": elder.name}
    for prefix, person in (("", hero), ("f", friend), ("e", elder)):
        for form in ("he", "him", "his"):
            word = getattr(person, form)
            slots[prefix + form] = word
            slots[prefix + _capital(form)] = _capital(word)
    return slots


def _human_cast(choose: _Chooser) -> tuple[Person, Person, str]:
    hero = choose.pick(grammar.PEOPLE)
    friend = choose.pick([person for person in grammar.PEOPLE if person.name != hero.name])
    kind = "girl" if hero.he == "she" else "boy"
    opening = choose.pick(
        (
            f"Once upon a time there was a {kind} named {hero.name}.",
            f"{hero.name} was a little {kind} who lived near a small town.",
            f"There was once a kind {kind}. {_capital(hero.his)} name was {hero.name}.",
            f"{hero.name} was a {kind} with many ideas.",
        )
    )
    return hero, friend, opening


def _animal_cast(choose: _Chooser) -> tuple[Person, Person, str]:
    hero = choose.pick(grammar.ANIMAL_NAMES)
    friend = choose.pick([person for person in grammar.ANIMAL_NAMES if person.name != hero.name])
    kind = choose.pick(grammar.ANIMALS)
    other = choose.pick([animal for animal in grammar.ANIMALS if animal != kind])
    opening = choose.pick(
        (
            f"Once upon a time there was a little {kind} named {hero.name}. "
            f"{_capital(hero.his)} friend was {friend.name} the {other}.",
            f"{hero.name} the {kind} and {friend.name} the {other} lived in the same wood.",
            f"In a small house lived {_article(kind)}. {_capital(hero.his)} name was {hero.name}, "
            f"and {friend.name} the {other} lived next door.",
        )
    )
    return hero, friend, opening
