"""Compare runs, and groups of runs with several seeds: settings, plan, accuracy, and a paired test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from trm_cli.errors import UsageError
from trm_cli.workflows.scores.evaluate import stored_evaluations
from trm_cli.workflows.scores.report import RunRecord, collect

if TYPE_CHECKING:
    from trm_cli.evaluation.outcomes import Outcomes

#: A p-value below which a difference is called one.
LEVEL = 0.05
#: What of a protocol changes no answer but for rounding.
_OF_THE_MACHINE = ("batch_size", "device", "precision")
#: Keys that say where a run lies, and not how it trains.
_PLACES = ("checkpoint_path",)


@dataclass(frozen=True)
class Side:
    """A run, or the runs of a group. letter: how it is called on the screen."""

    letter: str
    name: str
    runs: Sequence[RunRecord]
    settings: Mapping[str, Any]
    sources: Mapping[str, str]

    @property
    def exact(self) -> list[float]:
        """The exact accuracy of each run that was evaluated."""
        values = [run.evaluation["exact"]["value"] for run in self.runs if run.evaluation is not None]
        return [value for value in values if value is not None]


@dataclass(frozen=True)
class Setting:
    """A key that differs: its value and source on each side, None where a side has no such key."""

    key: str
    values: Sequence[tuple[Any, str] | None]


@dataclass(frozen=True)
class Paired:
    """Two runs on the same puzzles. difference: how much more often the second is right, with its 95 % interval.

    protocols: how each was evaluated, where that was not the same way. by_difficulty: measure -> (range, rows, share of
    the first, share of the second).
    """

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    neither: int
    difference: tuple[float, float, float]
    p_value: float
    protocols: tuple[str, str] | None
    by_difficulty: Mapping[str, Sequence[tuple[str, int, float, float]]]


@dataclass(frozen=True)
class Grouped:
    """Two groups of runs. difference: of the means, with its 95 % interval by drawing seeds again."""

    first: str
    second: str
    difference: tuple[float, float, float]
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Sides beside each other; each side after the first is tested against the first.

    missing: why there is no test for a side, and what makes one.
    """

    sides: Sequence[Side]
    settings: Sequence[Setting]
    tests: Sequence[Paired | Grouped]
    missing: Sequence[str]


def compare(names: Sequence[str]) -> Comparison:
    """Compare two or more runs or groups. Raises UsageError for fewer, CheckpointError for what is no run."""
    if not 2 <= len(names) <= len(ascii_uppercase):
        most = len(ascii_uppercase)
        raise UsageError(f"compare takes two runs or more, at most {most}", hint="trm compare RUN OTHER")
    sides = [_side(letter, name) for letter, name in zip(ascii_uppercase, names, strict=False)]
    if len({tuple(run.directory.resolve() for run in side.runs) for side in sides}) < len(sides):
        raise UsageError("a run is named twice: it does not differ from itself", hint="trm compare RUN OTHER")
    tests: list[Paired | Grouped] = []
    missing = []
    for other in sides[1:]:
        single = len(sides[0].runs) == len(other.runs) == 1
        made = _paired(sides[0], other) if single else _grouped(sides[0], other)
        if isinstance(made, str):
            missing.append(made)
        else:
            tests.append(made)
    return Comparison(sides, _differences(sides), tests, missing)


def group_alone(name: str) -> Comparison:
    """A group with nothing beside it: its seeds and their mean."""
    return Comparison([_side("A", name)], [], [], [])


def _side(letter: str, name: str) -> Side:
    from trm_cli.config.dump import flat_values
    from trm_cli.training.run.find_run import find_run
    from trm_cli.training.run.groups import find_group
    from trm_cli.training.run.sealed_config import load_run

    group = find_group(name)
    paths = group or [find_run(name)]
    resolved = load_run(paths[0])
    settings = flat_values(resolved.config)
    if group:
        del settings["seed"]
    return Side(
        letter,
        str(paths[0].parent if group else paths[0]),
        [collect(path) for path in paths],
        settings,
        resolved.sources,
    )


def _differences(sides: Sequence[Side]) -> list[Setting]:
    keys = sorted(dict.fromkeys(key for side in sides for key in side.settings), key=lambda key: "." in key)
    found = []
    for key in keys:
        values = [(side.settings[key], side.sources.get(key, "")) if key in side.settings else None for side in sides]
        shown = {repr(None if value is None else value[0]) for value in values}
        if len(shown) > 1 and key not in _PLACES:
            found.append(Setting(key, values))
    return found


def _paired(first: Side, second: Side) -> Paired | str:
    """Compare two runs puzzle by puzzle; or say why not."""
    import numpy as np

    from trm_cli.evaluation.scores.paired import mcnemar, paired_difference

    found = _same_puzzles(first, second)
    if found is None:
        from trm_cli.shell import command_line

        if len({side.runs[0].identity["dataset"]["fingerprint"] for side in (first, second)}) > 1:
            apart = f"{first.letter} and {second.letter} were trained on different data"
            return f"{apart}, and have no evaluation of the same puzzles"
        again = [command_line("trm", "evaluate", side.name, "--again") for side in (first, second)]
        commands = " and ".join(f"`{command}`" for command in again)
        return f"{first.letter} and {second.letter} have no evaluation of the same puzzles: {commands} make them"
    left, right, protocols = found
    places = np.intersect1d(left.places, right.places)
    left, right = left.of(places), right.of(places)
    only_first = int((left.right & ~right.right).sum())
    only_second = int((~left.right & right.right).sum())
    both = int((left.right & right.right).sum())
    return Paired(
        first=first.letter,
        second=second.letter,
        both=both,
        only_first=only_first,
        only_second=only_second,
        neither=len(places) - both - only_first - only_second,
        difference=paired_difference(only_first, only_second, len(places)),
        p_value=mcnemar(only_first, only_second),
        protocols=protocols,
        by_difficulty=_by_difficulty(left, right),
    )


def _same_puzzles(first: Side, second: Side) -> tuple[Outcomes, Outcomes, tuple[str, str] | None] | None:
    """The rows of the best evaluations of two runs that are of one test set, if possible by the same protocol; and
    both protocols where they differ."""
    from trm_cli.evaluation.outcomes import read_outcomes

    own, others = (stored_evaluations(side.runs[0].directory) for side in (first, second))
    pairs = [(one, other) for one in own for other in others if _test_set(one[0]) == _test_set(other[0])]
    differs = {
        place: _protocol(one[0], first) != _protocol(other[0], second) for place, (one, other) in enumerate(pairs)
    }
    for place in sorted(differs, key=differs.__getitem__):
        (document, folder), (other, other_folder) = pairs[place]
        left, right = read_outcomes(folder), read_outcomes(other_folder)
        if left is not None and right is not None and len(left.places):
            return left, right, (_described(document), _described(other)) if differs[place] else None
    return None


def _protocol(document: Mapping[str, Any], side: Side) -> dict[str, Any]:
    """What makes accuracies comparable: a network may have its own depth, and weights of the kind that it keeps."""
    protocol = {key: value for key, value in document["protocol"].items() if key not in _OF_THE_MACHINE}
    trained_steps = protocol.pop("trained_steps")
    if protocol["steps"] == trained_steps:
        del protocol["steps"]
    weights = "ema" if side.settings.get("ema") else "raw"
    return {**protocol, "usual_weights": document["checkpoint"]["weights"] == weights}


def _described(document: Mapping[str, Any]) -> str:
    from trm_cli.evaluation.protocol import protocol_line

    return f"{protocol_line(document['protocol'])}, {document['checkpoint']['weights']} weights"


def _test_set(document: Mapping[str, Any]) -> tuple[Any, ...]:
    dataset, protocol = document["dataset"], document["protocol"]
    return dataset["split"], dataset["fingerprint"], protocol["limit"], protocol["votes"]


def _by_difficulty(left: Outcomes, right: Outcomes) -> dict[str, list[tuple[str, int, float, float]]]:
    from trm_cli.evaluation.scores.difficulty import bins

    found = {}
    for name, values in left.features.items():
        rows = []
        for low, high in bins(values):
            inside = (values >= low) & (values <= high)
            label = f"{low:,}" if low == high else f"{low:,}-{high:,}"
            count = int(inside.sum())
            rows.append((label, count, float(left.right[inside].mean()), float(right.right[inside].mean())))
        found[name] = rows
    return found


def _grouped(first: Side, second: Side) -> Grouped | str:
    """Compare the mean accuracies of two groups; or say why not."""
    from trm_cli.evaluation.scores.paired import bootstrap_difference, permutation_test

    for side in (first, second):
        lacking = [run.directory for run in side.runs if run.evaluation is None]
        if lacking:
            return f"{side.letter} has runs without an evaluation: `trm evaluate {side.name}` makes them"
    if min(len(first.exact), len(second.exact)) < 2:
        return f"{first.letter} and {second.letter} cannot be tested: a group of several seeds beside a single run"
    low, high = bootstrap_difference(first.exact, second.exact)
    difference = (mean(second.exact) - mean(first.exact), low, high)
    return Grouped(first.letter, second.letter, difference, permutation_test(first.exact, second.exact))
