"""Find where a run starts, and refuse what it cannot start from before anything is written."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from trm_cli.config.schema import RunConfig
    from trm_cli.schedule.plan import TrainingPlan
    from trm_cli.training.run.datasets import Dataset
    from trm_cli.training.run.initial_state import Start


def require_start(
    config: RunConfig, data: Dataset | None, plan: TrainingPlan, *, from_step: int | None, fresh: bool, must_exist: bool
) -> Start:
    """Find where the run starts; a dry run and a real one ask the same. data None: it is not built.

    fresh: the run's own checkpoints do not count. must_exist: there must be a checkpoint. Raises CheckpointError for
    one that cannot be used, UsageError where a file of another run leaves nothing to do.
    """
    from trm_cli.training.run.initial_state import find_start

    run, start = Path(config.checkpoint_path), find_start(config, data, from_step=from_step, fresh=fresh)
    if must_exist and start.file is None:
        raise CheckpointError(f"{run} has no checkpoint to continue from", hint="`trm train` starts it")
    other = start.file is not None and start.file.resolve().parent != run.resolve()
    if other and start.step >= plan.total_steps:
        raise UsageError(
            f"{start.file} has done all {plan.total_steps:,} steps of this plan: there is nothing to train",
            hint=f"instead of load_checkpoint, init_from={shlex.quote(str(start.file))} starts from its weights",
        )
    return start
