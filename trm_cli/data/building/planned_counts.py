"""The counts of a dataset that is not built yet: its builder knows them from its flags, and says them as JSON."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence

from trm_cli.data.files.metadata import DatasetFacts
from trm_cli.data.stream.plan import GRID_SIDES, too_large
from trm_cli.data.stream.vocabulary import CELL_PIXELS
from trm_cli.errors import DatasetError

_PATIENCE = 300  # seconds; a builder that lists its sources over a slow network needs some


def planned_facts(command: Sequence[str], hint: str, canvas_size: int | None = None) -> DatasetFacts:
    """Run a builder with `--plan` and read the training counts from the JSON object that it prints.

    canvas_size: px of the model's canvas; grids of a stream that do not fit it do not count. None: a model of tokens.

    Raises DatasetError, with the last line that the builder said and `hint`, when it cannot tell.
    """
    asked = [*command, "--plan"]
    shown = shlex.join(["python", *asked[1:]])
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise DatasetError(f"the dataset is not built, and its builder did not answer: {error}", hint=hint) from error
    if answer.returncode != 0:
        said = answer.stderr.strip().splitlines() or [f"exit status {answer.returncode}"]
        raise DatasetError(f"the dataset is not built, and its builder cannot plan it: {said[-1]}", hint=hint)
    try:
        document = json.loads(answer.stdout)
        groups, mean = document["train"]["total_groups"], document["train"]["mean_puzzle_examples"]
        if not isinstance(groups, int) or not isinstance(mean, int | float) or groups < 1 or not mean > 0:
            raise ValueError(f"{groups!r} groups of {mean!r} examples")
        groups -= 0 if canvas_size is None else _left_out(document, canvas_size)
    except (ValueError, KeyError, TypeError) as error:
        message = f"the dataset is not built, and its builder answered `{shown}` with something else than counts"
        raise DatasetError(f"{message} ({error})", hint=hint) from error
    return DatasetFacts(groups, mean, f"not built yet; planned by {shown}")


def _left_out(document: Mapping[str, object], canvas_size: int) -> int:
    """Training grids too large for a canvas of `canvas_size` px; none where the builder counts no grids."""
    sides = document.get(GRID_SIDES)
    train = sides.get("train") if isinstance(sides, Mapping) else None
    return too_large(train, canvas_size // CELL_PIXELS) if isinstance(train, Mapping) else 0
