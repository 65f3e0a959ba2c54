"""Make the forecast of a run: measured on a copy where updates are cheap, else computed from their operations."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.forecast.arithmetic import count_operations, estimated, product_rate
from trm_cli.training.forecast.forecast import Cost, Forecast, Span, listed
from trm_cli.training.forecast.probe import probe
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.memory.check import MemoryCheck, is_out_of_memory
from trm_cli.training.run.datasets import Datasets

#: What the timed updates of a probe may take: a share of the run, at most so many seconds, but a few updates at least.
_SHARE, _SECONDS, _FEWEST = 0.01, 2.0, 3
#: Seconds a probe may take at most, and no more than `_SHARE` of a run, but always `_SECONDS`. If timing `_FEWEST`
#: updates would exceed it (estimated from FLOPs), one update is timed; if that would too, none is, and the forecast is
#: the FLOP estimate.
_LONGEST = 60.0
#: What it takes where a forecast was asked for, since nothing else waits.
_ASKED_SECONDS = 0.5
#: A run of fewer updates is not worth the time of a probe, unless it is asked for.
_WORTH_A_PROBE = 400
#: Positions of a batch times width up to which an update surely takes less than a second.
_SMALL = 1 << 21


@dataclass(frozen=True)
class Forecaster:
    """What a forecast is made from. build: whether the dataset is still being built, so that nothing can be timed."""

    config: RunConfig
    datasets: Datasets
    plan: TrainingPlan
    machine: Machine
    memory: MemoryCheck
    process_group: ProcessGroup
    building: bool = False

    def forecast(self, first_step: int, *, asked: bool) -> Forecast | None:
        """The forecast of the updates after `first_step`; None for a run of few cheap updates, unless it is asked for,
        and for a run that is complete."""
        ahead = self.plan.total_steps - first_step
        if ahead <= 0:
            return None
        config = self.config
        positions = self.memory.rows * self.datasets.train.metadata.seq_len
        small = positions * config.arch.hidden_size <= _SMALL and self.machine.device.value == "cpu"
        if small and not asked and ahead < _WORTH_A_PROBE:
            return None
        computed = None if small and not self.building else self._computed(positions)
        fewest = _probe_updates(ahead, 0.0 if computed is None else computed[0].time.low)
        only_estimate = self.building or config.sharding == "fsdp" or (not asked and ahead < _WORTH_A_PROBE)
        measured = None if only_estimate or not fewest else self._measured(ahead, fewest, asked=asked)
        watts = None
        if measured is not None:
            update, evaluation, watts, source = measured
            if computed is not None and self.machine.compile.value != "off":
                update, source = _compiled_correction(update, source, computed[0].time.low)
        else:
            assert computed is not None
            update, evaluation, source = computed
        return self._assemble(first_step, update, evaluation, source, watts)

    def _assemble(self, first_step: int, update: Cost, evaluation: Cost, source: str, watts: float | None) -> Forecast:
        config, plan = self.config, self.plan
        evaluated, evaluations = listed(plan.eval_steps, first_step)
        _, checkpoints = listed(plan.checkpoint_steps, first_step)
        _, milestones = listed(plan.milestones, first_step)
        saves = checkpoints + milestones
        return Forecast(
            source=source,
            first_step=first_step,
            total_steps=plan.total_steps,
            update=update,
            evaluation=evaluation,
            eval_steps=evaluated,
            evaluations=evaluations,
            checkpoint_bytes=self.memory.checkpoint_bytes,
            kept=min(saves, config.keep_checkpoints + milestones + 1),
            saves=saves,
            memory=self.memory.needed.total,
            watts=watts,
            price_per_hour=config.price_per_hour,
        )

    def _measured(self, ahead: int, fewest: int, *, asked: bool) -> tuple[Cost, Cost, float | None, str] | None:
        """From a probe; None where the copy does not fit into memory."""

        def enough(first: float) -> float:
            share = max(_SHARE * ahead * first, _ASKED_SECONDS if asked else 0.0)
            return max(min(_SECONDS, share), fewest * first)

        try:
            found = probe(self.config, self.datasets, self.plan, self.machine, self.process_group, enough, fewest)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None
        finally:
            gc.collect()
            if self.machine.device.value == "cuda":
                torch.cuda.empty_cache()
        alone = "" if self.process_group.count == 1 else ", without what processes send each other"
        count = "1 update" if found.updates == 1 else f"{found.updates} updates"
        return found.update, found.evaluation, found.watts, f"measured: {count} of a copy{alone}"

    def _computed(self, positions: int) -> tuple[Cost, Cost, str]:
        """From the operations, and the rate of the device."""
        config, precision = self.config, self.machine.precision.value
        operations = count_operations(config, self.datasets.train.metadata, precision)
        rate = product_rate(self.machine, positions, config.arch.hidden_size)
        update = self.memory.rows * operations.update
        rows = 0
        if (test := self.datasets.test) is not None and self.memory.evaluated:
            size = self.memory.evaluated * self.process_group.count
            rows = min(test.eval_count(size), config.eval_batches or test.eval_count(size)) * self.memory.evaluated
        evaluation = rows * operations.step * getattr(config.arch, "halt_max_steps", 1)
        whole = self.plan.total_steps * config.global_batch_size * operations.update
        speed = f"{rate / 1e9:,.{0 if rate > 1e10 else 1}f}"  # halves on some processors: below ten
        source = (
            f"estimated: {update / 1e9:,.0f} GFLOP an update at {speed} GFLOP/s measured; the whole run is "
            f"{whole / 1e18:.2g} EFLOP"
        )
        return estimated(update, rate), estimated(evaluation, rate), source


def _probe_updates(ahead: int, fastest: float) -> int:
    """How many updates a probe times at least, of a run with `ahead` updates of at least `fastest` seconds; 0: none."""
    allowed = max(_SECONDS, min(_LONGEST, _SHARE * ahead * fastest))
    # One more than are timed: the first one makes what is kept between updates.
    return next((count for count in (_FEWEST, 1) if (count + 1) * fastest <= allowed), 0)


def _compiled_correction(update: Cost, source: str, fastest: float) -> tuple[Cost, str]:
    """The cost and the source of updates that were measured without the compiler: `fastest` seconds are possible."""
    time = update.time
    corrected = Cost(Span(min(fastest, time.low), time.likely, time.high), update.processor)
    return corrected, f"{source} without compiling them, so that they may be faster"
