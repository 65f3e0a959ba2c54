"""Parse the `key=value` words of a command line, in Hydra's spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trm_cli.config.sources.published import translate
from trm_cli.config.sources.yaml_loader import parse_scalar
from trm_cli.errors import Problem

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class Override:
    """One `key=value` word. `number` counts from 1, as error messages do."""

    number: int
    text: str
    key: tuple[str, ...]
    value: Any

    @property
    def where(self) -> str:
        """The name of its place in messages and in `trm configs show`."""
        return f"override {self.number}"


def parse_overrides(words: Sequence[str]) -> tuple[list[Override], list[Problem]]:
    """Parse words; return the overrides and a problem for each word that cannot be read."""
    overrides: list[Override] = []
    problems: list[Problem] = []
    for number, word in enumerate(words, start=1):
        where = f"override {number}"
        name, equals, text = word.partition("=")
        plain = name[1:] if name.startswith("+") and equals else name
        if not equals:
            hint = "overrides look like key=value, for example epochs=10; only the first word names a model"
            problems.append(Problem(where, f"`{word}` has no `=`: is it a second model?", key=word, hint=hint))
        elif plain[:1] in ("~", "+"):
            message = f"`{word}`: {plain[0]} is Hydra's spelling for removing or forcing a key"
            hint = f"every key always has a value; write {plain.lstrip('~+')}={text or '...'}"
            problems.append(Problem(where, message, key=plain, hint=hint))
        elif not _KEY.fullmatch(plain):
            message = f"`{word}`: `{plain}` is not a key; keys are words with dots between them"
            apart = " ".join(word.replace(",", " ").split())
            hint = f"words are given one by one, without quotes around all: {apart}" if " " in plain else ""
            problems.append(Problem(where, message, key=plain, hint=hint))
        else:
            try:
                ours = translate(tuple(plain.split(".")), parse_scalar(text))
            except ValueError as error:
                problems.append(Problem(where, f"`{plain}`: {error}", key=plain))
                continue
            if isinstance(ours, str):
                problems.append(Problem(where, f"`{plain}` is a key of the published code", key=plain, hint=ours))
            elif ours is not None:
                overrides.append(Override(number, word, *ours))
    if any(override.text.startswith("checkpoint_path=") for override in overrides):
        # The published code takes a run's name for its directory only where none is named.
        overrides = [one for one in overrides if one.text.removeprefix("+").partition("=")[0] != "run_name"]
    return overrides, problems
