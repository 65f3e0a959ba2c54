"""What a record says of the updates since the last one: the sums of a state, over all processes, as means."""

from __future__ import annotations

from typing import NamedTuple

from trm_cli.training.distributed.full_state import total_sums
from trm_cli.training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trm_cli.training.state.sums import RunningSums
from trm_cli.training.state.training_state import TrainingState


class Averaged(NamedTuple):
    """Metrics averaged over the updates since the last record."""

    means: dict[str, float | None]
    updates: int


def drain(state: TrainingState, global_batch_size: int, process_group: ProcessGroup = SINGLE_PROCESS) -> Averaged:
    """Turn the sums since the last record, over all processes, into means and start new sums.

    Losses are per row of the batch, over the updates with a finite loss; metrics of a group of rows are over the rows
    of that group, and the name of the group is how many these were per update; norms are over the updates that changed
    the weights. None where there is nothing to average. `skipped` counts the updates that changed no weight.
    """
    sums = total_sums(state.sums.numbers(), process_group)
    state.sums = RunningSums()
    updates, scored, applied = (int(sums.pop(name, 0)) for name in ("updates", "scored", "applied"))
    # What nothing was added to, because no loss or no gradient was finite, has no mean.
    sums = {name: value for name, value in sums.items() if (applied if name.startswith("applied/") else scored)}
    means: dict[str, float | None] = {"halted": None, "loss": None, "skipped": updates - applied}
    share: dict[str, float] = {"loss": scored * global_batch_size, "applied": applied}
    for name in [name for name in sums if name.endswith("/count")]:
        group, count = name.removesuffix("/count"), sums.pop(name)
        share[group], means[group] = count, _mean(count, scored)
    for name, value in sums.items():
        group, _, metric = name.partition("/")
        means[metric] = _mean(value, share[group])
    return Averaged(means, updates)


def _mean(total: float, count: float) -> float | None:
    return total / count if count else None
