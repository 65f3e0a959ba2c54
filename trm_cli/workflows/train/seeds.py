"""Train one recipe with several seeds: ordinary runs `seed-N` in one directory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError
from trm_cli.workflows.train.jobs import Job

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved

_MOST_SEEDS = 1000


def parse_seeds(text: str) -> list[int]:
    """Read `0,1,7`, or a number of seeds: `5` is 0 to 4. Raises UsageError."""
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and int(word) < 2**31 for word in words):
        raise UsageError(f"--seeds {text}: expected seeds with commas between them, or how many", hint="--seeds 0,1,2")
    numbers = [int(word) for word in words]
    if len(numbers) == 1:
        numbers = list(range(numbers[0]))
    if not 0 < len(set(numbers)) == len(numbers) <= _MOST_SEEDS:
        raise UsageError(f"--seeds {text}: expected 1 to {_MOST_SEEDS:,} seeds, each once", hint="--seeds 0,1,2")
    return numbers


def seed_runs(resolved: Resolved, seeds: Sequence[int], options: Sequence[str] = ()) -> list[Job]:
    """The runs of a recipe in its `checkpoint_path`. options: of `trm train`. Raises UsageError for a seed besides."""
    from trm_cli.config.dump import override, override_key
    from trm_cli.training.run.groups import member
    from trm_cli.training.run_files import is_run

    if "seed" in map(override_key, resolved.overrides):
        raise UsageError("--seeds gives each run its seed: leave seed= out")
    group = Path(resolved.config.checkpoint_path)
    if is_run(group):
        raise UsageError(
            f"{group} is a run, not a directory for several", hint="name another: checkpoint_path=checkpoints/NAME"
        )
    train = train_command(resolved)
    return [
        Job(f"seed {seed}", path, [*train, f"seed={seed}", override("checkpoint_path", str(path)), *options])
        for seed in seeds
        for path in [member(group, seed)]
    ]


def dataset_command(resolved: Resolved) -> list[str]:
    """What builds the dataset that all runs share, before several begin at once."""
    return [*train_command(resolved), "--dataset-only"]


def train_command(resolved: Resolved) -> list[str]:
    """What trains a recipe, but for where its run is kept."""
    from trm_cli.config.dump import override_key

    model = resolved.config.model if resolved.registry is None else resolved.registry.word
    kept = [str(word) for word in resolved.overrides if override_key(word) not in ("checkpoint_path", "model")]
    return [sys.executable, "-m", "trm_cli", "train", model, *kept]
