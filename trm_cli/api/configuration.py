"""Compose a configuration, plan its schedule, and build its dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.config.compose import Resolved
from trm_cli.config.compose import compose as resolve

if TYPE_CHECKING:
    from trm_cli.schedule.plan import TrainingPlan


def compose(model: str | None = None, *overrides: str, **settings: Any) -> Resolved:
    """Compose the configuration of a model: a name in `configs/models/`, or the path of a YAML file.

    overrides: words as on the command line, `"arch.hidden_size=64"`; settings: top-level keys, `epochs=10`.
    `.config` of the result holds the values, `.sources` where each comes from. Raises ConfigError with every problem.

        >>> compose("sudoku-4x4", "arch.hidden_size=64", epochs=10).config.epochs
        10
    """
    return resolve(model, [*overrides, *(f"{key}={json.dumps(value)}" for key, value in settings.items())])


def plan(
    model: Resolved | str | None = None, *overrides: str, samples_per_epoch: float | None = None, **settings: Any
) -> TrainingPlan:
    """Plan a training: steps, every boundary of its schedule, evaluations and checkpoints. Does not load torch.

    model: a configuration, the name of a model, or a run directory. samples_per_epoch: instead of those of the dataset.
    Raises DatasetError where neither a dataset nor its builder says how many samples there are.

        >>> made = plan("sudoku-4x4", samples_per_epoch=1000, epochs=10, global_batch_size=32)
        >>> made.steps_per_epoch, made.total_steps
        (31, 310)
    """
    from trm_cli.workflows.planning import plan_resolved, plan_target

    samples = None if samples_per_epoch is None else str(samples_per_epoch)
    words = [*overrides, *(f"{key}={json.dumps(value)}" for key, value in settings.items())]
    if isinstance(model, Resolved):
        if words:
            raise TypeError("a configuration is planned as it is: give settings to compose()")
        return plan_resolved(model, samples)
    return plan_target(model, words, samples).plan


def build(model: Resolved | str, *overrides: str, rebuild: bool = False, workers: int | None = None) -> list[Path]:
    """Build the dataset of a model, or continue an interrupted build; returns its directories. Raises TrmError."""
    from trm_cli.workflows.build import BuildRequest, build_dataset, builder_of

    resolved = model if isinstance(model, Resolved) else compose(model, *overrides)
    build_dataset(builder_of(resolved), BuildRequest(rebuild=rebuild, workers=workers))
    return [Path(path) for path in resolved.config.data_paths]
