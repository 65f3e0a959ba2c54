"""Time a few updates, and a few evaluated rows, of a copy of a run: the run itself is not touched."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.evaluation.scores.accuracy import evaluate
from trm_cli.models.upload import computes_apart
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.training.averages import drain
from trm_cli.training.batch_transfer import BatchTransfer
from trm_cli.training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trm_cli.training.forecast.forecast import Cost, Span
from trm_cli.training.hardware.devices import Choice, synchronise
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.hardware.usage import Usage
from trm_cli.training.loop import draws_of_rows
from trm_cli.training.run.build import make_model, make_state, prepare_model
from trm_cli.training.run.datasets import Datasets, TrainBatches, eval_batch_size
from trm_cli.training.state.training_state import TrainingState
from trm_cli.training.step import StepSettings, update

#: Updates that are timed at most, after the first, which is slower.
_MOST = 200
#: Supervision steps of the evaluated rows that are timed.
_STEPS = 2
_NOT_COMPILED = Choice("off", "of a copy")


@dataclass(frozen=True)
class Probed:
    """What was measured. updates: how many were timed. watts: None where the device does not tell."""

    update: Cost
    evaluation: Cost
    updates: int
    watts: float | None


@dataclass(frozen=True)
class _Lap:
    seconds: float
    processor: float
    joules: float | None


def probe(
    config: RunConfig,
    datasets: Datasets,
    plan: TrainingPlan,
    machine: Machine,
    process_group: ProcessGroup,
    enough: Callable[[float], float],
    fewest: int,
) -> Probed:
    """Train a copy of the run for a few updates without compiling it, and evaluate a few rows.

    enough: the seconds that the timed updates may take, given the first one's. fewest: how many are timed at least.
    Of several processes each computes its rows and sends none. Raises RuntimeError where the copy does not fit into
    memory.
    """
    own = config.model_copy(update={"global_batch_size": config.global_batch_size // process_group.count})
    alone = replace(machine, compile=_NOT_COMPILED)
    with torch.random.fork_rng(devices=[]):
        model = make_model(own, datasets.train.metadata, machine.precision.value)
        prepare_model(model, own, alone, SINGLE_PROCESS)
        state = make_state(own, model, alone)
        batches = TrainBatches(datasets.train, plan, config.seed, process_group)
        usage = Usage(machine.torch_device)
        laps = _updates(own, plan, state, batches, machine.torch_device, usage, enough, fewest)
        evaluation = _evaluation(config, datasets, state, machine.torch_device, usage, process_group)
    seconds = sum(lap.seconds for lap in laps)
    joules = [lap.joules for lap in laps if lap.joules is not None]
    return Probed(
        update=Cost(Span.around([lap.seconds for lap in laps]), sum(lap.processor for lap in laps) / len(laps)),
        evaluation=evaluation,
        updates=len(laps),
        watts=sum(joules) / seconds if len(joules) == len(laps) and seconds else None,
    )


def _updates(
    config: RunConfig,
    plan: TrainingPlan,
    state: TrainingState,
    batches: TrainBatches,
    device: torch.device,
    usage: Usage,
    enough: Callable[[float], float],
    fewest: int,
) -> list[_Lap]:
    """Time updates one after the other, with their logging, while the next batch is drawn as in a run."""
    settings = StepSettings(config.global_batch_size, config.grad_clip, config.micro_batch_size,
                            read_later=computes_apart(device))  # fmt: skip
    transfer = BatchTransfer(state, device, config.micro_batch_size)
    rows, columns = config.global_batch_size, state.model.draws_per_row
    laps: list[_Lap] = []
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(batches.train_batch, 1)
        ended = 0.0
        for step in range(1, _MOST + 2):
            arrays = following.result()
            following = pool.submit(batches.train_batch, min(step + 1, plan.total_steps))
            if step == 1:
                _lap(usage, device)
            clock = plan.values_at(min(step, plan.total_steps))
            draws = draws_of_rows(config.seed, step, slice(0, rows), rows, columns)
            sent = transfer.send(arrays, draws, clock)
            update(state, sent.batch, sent.draws, clock, settings, sent.clock, sent.layouts)
            state.step = step
            drain(state, rows, SINGLE_PROCESS)
            lap = _lap(usage, device)
            if step == 1:
                ended = time.monotonic() + enough(lap.seconds)
                continue
            laps.append(lap)
            if len(laps) >= fewest and time.monotonic() > ended:
                break
    return laps


def _evaluation(
    config: RunConfig,
    datasets: Datasets,
    state: TrainingState,
    device: torch.device,
    usage: Usage,
    process_group: ProcessGroup,
) -> Cost:
    """The cost of one evaluation, from a few rows that run a few supervision steps, the second time."""
    test = datasets.test
    if test is None:
        return Cost(Span(0.0, 0.0, 0.0), 0.0)
    size = eval_batch_size(config, test, process_group.count)
    share = -(-size // process_group.count)
    rows = min(share, max(1, config.global_batch_size // process_group.count))
    batch = test.eval_batch(0, size, slice(0, rows))
    for steps in (1, _STEPS):
        _lap(usage, device)
        evaluate(state.model, [dict(batch)], device, steps=steps, micro_batch_size=config.micro_batch_size)
        lap = _lap(usage, device)
    batches = min(test.eval_count(size), config.eval_batches or test.eval_count(size))
    scale = batches * share / rows * state.model.halt_max_steps / _STEPS
    return Cost(Span.around([lap.seconds], 0.25), lap.processor).times(scale)


def _lap(usage: Usage, device: torch.device) -> _Lap:
    synchronise(device)
    used = usage.lap()
    return _Lap(used["seconds"], used["cpu_seconds"], used.get("joules"))
