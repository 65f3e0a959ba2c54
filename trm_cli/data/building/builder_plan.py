"""Ask a builder with `--plan` what it would build, before the dataset exists."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from trm_cli.data.building import builder_command
from trm_cli.data.building.builder_command import builder_environment, typed
from trm_cli.data.building.builder_process import BuilderFlagError, error_of_exit, parse_progress
from trm_cli.data.files.json_file import parse_json
from trm_cli.data.files.metadata import DatasetFacts
from trm_cli.data.stream.storage.plan import GRID_SIDES, too_large
from trm_cli.errors import DatasetError, TrmError, UsageError

_PATIENCE = 300  # seconds; a builder that lists its sources over a slow network needs some


def plan_build(command: Sequence[str]) -> dict[str, object]:
    """Run a builder with `--plan` and return the JSON object that it prints.

    Raises UsageError, DatasetError or TrmError as its exit code says, and DatasetError for any other answer.
    """
    asked = [*command, "--plan"]
    builder_command.before_start(asked)
    try:
        answer = subprocess.run(
            asked,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=builder_environment(asked),
            timeout=_PATIENCE,
            check=False,
        )
    except OSError as error:
        raise UsageError(f"the builder {command[0]} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise DatasetError(f"{typed([*command, '--plan'])} gave no answer in {_PATIENCE} seconds") from error
    if answer.returncode:
        said = answer.stderr.strip().splitlines()
        raise error_of_exit(answer.returncode, said[-1].rpartition(": error: ")[2] if said else "")
    lines = [line for line in answer.stdout.splitlines() if parse_progress(line) is None]
    try:
        document = parse_json("\n".join(lines), "its answer")
    except DatasetError as error:
        raise DatasetError(f"{typed([*command, '--plan'])} did not print one JSON object: {error}") from error
    if not isinstance(document, dict):
        raise DatasetError(
            f"{typed([*command, '--plan'])} printed {type(document).__name__} where an object was expected"
        )
    return document


def planned_facts(command: Sequence[str], board_side: int | None = None) -> DatasetFacts:
    """Return the counts of the training split that a builder would write.

    board_side: cells along one side of the largest grid that the model takes; larger ones of a stream do not count.
    None: a model of tokens.

    Raises DatasetError, with the builder's message and hint, when it cannot plan.
    """
    try:
        document = plan_build(command)
    except (builder_command.BuilderNotAllowed, BuilderFlagError):
        raise
    except TrmError as error:
        message = f"the dataset is not built, and its builder cannot plan it: {error.message}"
        raise DatasetError(message, hint=error.hint) from error
    try:
        groups, mean = _training_counts(document)
        groups -= 0 if board_side is None else _left_out(document, board_side)
    except (ValueError, KeyError, TypeError) as error:
        message = (
            f"the dataset is not built, and `{typed([*command, '--plan'])}` answered with something else than counts"
        )
        raise DatasetError(f"{message} ({error})") from error
    test = document.get("test")
    has_test = not isinstance(test, Mapping) or test.get("total_groups") != 0
    return DatasetFacts(groups, mean, f"not built yet; planned by {typed([*command, '--plan'])}", has_test)


def _training_counts(document: Mapping[str, object]) -> tuple[int, float]:
    train = document["train"]
    if not isinstance(train, Mapping):
        raise TypeError(f"train is {train!r}")
    groups, mean = train["total_groups"], train["mean_puzzle_examples"]
    if not isinstance(groups, int) or not isinstance(mean, int | float) or groups < 1 or not mean > 0:
        raise ValueError(f"{groups!r} groups of {mean!r} examples")
    return groups, mean


def _left_out(document: Mapping[str, object], board_side: int) -> int:
    """Training grids too large for a board of `board_side` cells a side; none where the builder counts no grids."""
    sides = document.get(GRID_SIDES)
    train = sides.get("train") if isinstance(sides, Mapping) else None
    return too_large(train, board_side) if isinstance(train, Mapping) else 0


def _shown(command: Sequence[str]) -> str:
    return typed([*command, "--plan"])
