"""Read the file of a sweep: a model, settings that all trials share, and those that are searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trm_cli.config.registry import nearest
from trm_cli.config.sources.scalars import describe
from trm_cli.config.sources.yaml_loader import Document, Key, load_yaml
from trm_cli.errors import ConfigError, Problem

METHODS = ("grid", "random", "optuna")
#: What trials are compared by, and whether more of it is better.
OBJECTIVES = {
    "exact_accuracy": True,
    "token_accuracy": True,
    "picture_accuracy": True,
    "bits_per_byte": False,
    "bits_per_token": False,
}
MOST_TRIALS = 10_000
_KEYS = ("model", "checkpoint_path", "method", "trials", "seed", "objective", "prune", "settings", "search")
_RANGE = ("low", "high", "log", "whole")
#: Keys that each trial has for itself, or that would make each another dataset in the same place.
_NOT_SEARCHED = ("checkpoint_path", "load_checkpoint", "model", "dataset_args")


@dataclass(frozen=True)
class Range:
    """Numbers from low to high. log: every factor is as likely as another. whole: whole numbers alone."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class SweepFile:
    """What a sweep does. search: by key, the values to try, or a range. trials: None = every combination of a grid."""

    model: str
    checkpoint_path: str
    search: Mapping[str, tuple[Any, ...] | Range]
    settings: Mapping[str, Any] = field(default_factory=dict)
    method: str = "grid"
    trials: int | None = None
    seed: int = 0
    objective: str = "exact_accuracy"
    prune: bool = True

    @property
    def more_is_better(self) -> bool:
        """Whether the best trial is the one with the largest value."""
        return OBJECTIVES[self.objective]


def read_sweep(path: Path) -> SweepFile:
    """Read and check a file. Raises ConfigError with every problem, each with its line."""
    document = load_yaml(path)
    problems = [*document.problems, *_unknown(document, (), _KEYS)]
    if not document.problems:
        problems += [*_values(document), *_searched(document)]
    if problems:
        raise ConfigError(problems, hint="docs/long_runs.md shows the file of a sweep")
    data = document.data
    given = {name: data[name] for name in _KEYS if name in data and name not in ("checkpoint_path", "search")}
    return SweepFile(
        checkpoint_path=data.get("checkpoint_path", f"checkpoints/{path.stem}"),
        search={name: _read(value) for name, value in data["search"].items()},
        **given,
    )


def _read(value: Any) -> tuple[Any, ...] | Range:
    return Range(**value) if isinstance(value, dict) else tuple(value)


def _values(document: Document) -> list[Problem]:
    """Problems of the keys outside `search`."""
    data, found = document.data, []

    def expect(name: str, good: bool, expected: str) -> None:
        if not good:
            found.append(_problem(document, (name,), f"`{name}` must be {expected}", data.get(name)))

    expect("model", isinstance(data.get("model"), str), "the name or file of a model")
    expect("checkpoint_path", isinstance(data.get("checkpoint_path", ""), str), "a directory for the trials")
    expect("method", data.get("method", "grid") in METHODS, f"one of {', '.join(METHODS)}")
    expect("objective", data.get("objective", "exact_accuracy") in OBJECTIVES, f"one of {', '.join(OBJECTIVES)}")
    expect("prune", isinstance(data.get("prune", True), bool), "true or false")
    expect("seed", _is_count(data.get("seed", 0), 0), "a whole number from 0 on")
    expect("settings", isinstance(data.get("settings", {}), dict), "a mapping of keys such as `epochs: 10`")
    if data.get("method", "grid") == "grid":
        expect("trials", data.get("trials") is None, "left out for a grid, which tries every combination")
    else:
        expect("trials", _is_count(data.get("trials"), 1), f"how many to try, 1 to {MOST_TRIALS:,}")
    return found


def _searched(document: Document) -> list[Problem]:
    search, method = document.data.get("search"), document.data.get("method", "grid")
    if not isinstance(search, dict) or not search:
        message = "`search` must be a mapping of keys, each with its values, such as `lr: [1e-3, 1e-4]`"
        return [_problem(document, ("search",), message, search)]
    found, combinations = [], 1
    for name, value in search.items():
        key: Key = ("search", name)
        if name.partition(".")[0] in _NOT_SEARCHED:
            found.append(Problem(document.where(key), f"`{name}` cannot be searched: trials share the dataset and have "
                                 "a directory each", key=name))  # fmt: skip
        elif isinstance(value, dict):
            found += _range(document, key, value, method)
        elif not isinstance(value, list) or not value or len(set(map(repr, value))) < len(value):
            found.append(_problem(document, key, f"`{name}` must be a list of different values, or a range", value))
        else:
            combinations *= len(value)
    if not found and method == "grid" and combinations > MOST_TRIALS:
        message = f"a grid of {combinations:,} trials; at most {MOST_TRIALS:,}"
        found.append(Problem(document.where(("search",)), message, hint="method: random tries some of them"))
    return found


def _range(document: Document, key: Key, value: Mapping[str, Any], method: str) -> list[Problem]:
    name = str(key[-1])
    if method == "grid":
        return [_problem(document, key, f"`{name}` must be a list of values in a grid", value)]
    found = _unknown(document, key, _RANGE)
    low, high = value.get("low"), value.get("high")
    numbers = [one for one in (low, high) if isinstance(one, int | float) and not isinstance(one, bool)]
    switches = all(isinstance(value.get(switch, False), bool) for switch in ("log", "whole"))
    whole = not value.get("whole") or all(float(one).is_integer() for one in numbers)
    if (
        len(numbers) < 2
        or not numbers[0] < numbers[1]
        or (value.get("log") and numbers[0] <= 0)
        or not (switches and whole)
    ):
        message = f"`{name}` must be a range: low and high, numbers with low below high (log: true needs low above 0)"
        found.append(_problem(document, key, message, value))
    return found


def _unknown(document: Document, key: Key, known: tuple[str, ...]) -> list[Problem]:
    data: Any = document.data
    for part in key:
        data = data[part]
    problems = []
    for name in data:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean `{near}`?" if near else f"known: {', '.join(known)}"
            problems.append(Problem(document.where((*key, name)), f"unknown key `{name}`", key=name, hint=hint))
    return problems


def _problem(document: Document, key: Key, message: str, found: Any) -> Problem:
    return Problem(document.where(key), f"{message}; found {describe(found)}", key=str(key[-1]))


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= max(MOST_TRIALS, 2**31)
