"""Checkpoints that are sealed as they should be and hold what no run has written."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from trm_cli.training.checkpoint.checkpoint_format import save_file

#: What may stand in the place of anything.
STRANGE: tuple[Any, ...] = (
    None, "text", "", -1, 10**30, 2.5, float("nan"), float("inf"), True, [], {}, [1, "a"], {"a": 1}, {1: 2}, [[[]]],
    torch.zeros(0), torch.zeros(()), torch.zeros(3, 2), torch.tensor(float("nan")), torch.zeros(2, dtype=torch.int64),
    torch.zeros(2, dtype=torch.bool), torch.zeros(2, dtype=torch.complex64),
    torch.empty(2, device="meta"), torch.zeros(1).expand(1 << 40),
)  # fmt: skip
Place = tuple[Any, ...]


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """The way to everything in a nested state, itself included."""
    yield here
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*here, key))
    elif isinstance(value, list):
        for index, item in enumerate(value[:3]):
            yield from places(item, (*here, index))


def change(state: Any, place: Place, make: Any) -> Any:
    """A copy of `state` with `make(what is there)` in a place; None for `make` leaves it out."""
    if not place:
        return make(state) if make is not None else {}
    changed = copy.copy(state)
    if len(place) == 1 and make is None:
        del changed[place[0]]
    else:
        changed[place[0]] = change(state[place[0]], place[1:], make)
    return changed


def _otherwise(value: Any, chance: random.Random) -> Any:
    """A value of the same kind that is wrong: another shape, another type, numbers out of range."""
    if isinstance(value, torch.Tensor):
        ways = [
            lambda: value[:-1] if value.ndim and len(value) > 1 else value.reshape(-1)[:0],
            lambda: torch.cat([value, value]) if value.ndim else value.repeat(3),
            lambda: value.unsqueeze(0),
            lambda: value.to(torch.int32 if value.is_floating_point() else torch.float32),
            lambda: torch.full_like(value, 1) * 10**6 if value.dtype is not torch.bool else value.float(),
        ]
        return chance.choice(ways)()
    if isinstance(value, dict):
        return chance.choice([{**value, "more": 1}, {**value, 7: None}, dict(list(value.items())[1:]), {}])
    if isinstance(value, list):
        return chance.choice([value[1:], [*value, *value], [None, *value]])
    if isinstance(value, int | float):
        return chance.choice([-value - 1, value + 0.5, str(value), float("nan"), value + 10**9])
    return [value]


def wrong_states(
    state: dict[str, Any], summary: dict[str, Any], chance: random.Random
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Endlessly: (what was changed, a state, a summary)."""
    in_state = [place for place in places(state) if place]
    top = [place for place in in_state if len(place) <= 2]
    in_summary = [place for place in places(summary) if place]
    while True:
        kind = chance.choice(("strange", "strange", "otherwise", "otherwise", "missing", "summary"))
        if kind == "summary":
            place = chance.choice(in_summary)
            strange = chance.choice([one for one in STRANGE if not isinstance(one, torch.Tensor)])
            yield f"summary {place} -> {strange!r}", state, change(summary, place, lambda _, new=strange: new)
            continue
        place = chance.choice(top if chance.random() < 0.5 else in_state)
        if kind == "missing":
            yield f"{place} left out", change(state, place, None), summary
        elif kind == "strange":
            strange = chance.choice(STRANGE)
            yield f"{place} -> {str(strange)[:60]}", change(state, place, lambda _, new=strange: new), summary
        else:
            yield f"{place} otherwise", change(state, place, lambda old: _otherwise(old, chance)), summary


def write_wrong(path: Path, state: dict[str, Any], summary: dict[str, Any]) -> bool:
    """Seal it as `trm` would; False where torch does not write such a thing."""
    try:
        save_file(path, state, summary)
    except Exception:  # noqa: BLE001 - whatever cannot be written is no case
        path.unlink(missing_ok=True)
        return False
    return True
