"""Train a model: build its dataset, plan, train. The work behind `trm train`, `resume` and `quickstart`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import CheckpointError, ExitCode, UsageError
from trm_cli.shell import quote
from trm_cli.workflows.observers import Outcome, TrainingObserver, TrainingResult, TrainingStart

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.data.building.live_build import LiveBuild
    from trm_cli.schedule.plan import TrainingPlan
    from trm_cli.training.distributed.process_group import ProcessGroup
    from trm_cli.training.forecast.forecast import Forecast
    from trm_cli.training.hardware.machine import Machine
    from trm_cli.training.memory.check import MemoryCheck
    from trm_cli.training.run.datasets import Datasets
    from trm_cli.training.run.initial_state import Start
    from trm_cli.training.run.run import Run


@dataclass(frozen=True)
class TrainRequest:
    """The options of a training run.

    dry_run: plan, write nothing. fresh: delete the run's files first. replan: accept settings that change the schedule.
    stop_at_step: stop early, with the same schedule; stop_when: where it is true after a step. from_step: continue from
    this checkpoint, move newer ones aside. dataset_only: build the dataset, do not train. rebuild_dataset: build it
    again. incremental: begin training while the dataset is built. must_exist: require a checkpoint to continue from.
    resting: groups of a puzzle dataset that are not drawn. forecast: foresee the time of the run before it begins.
    """

    dry_run: bool = False
    fresh: bool = False
    replan: bool = False
    stop_at_step: int | None = None
    stop_when: Callable[[], bool] = lambda: False
    from_step: int | None = None
    dataset_only: bool = False
    rebuild_dataset: bool = False
    incremental: bool = True
    must_exist: bool = False
    resting: tuple[int, ...] = ()
    forecast: bool = True

    @property
    def trains(self) -> bool:
        """Whether this trains, and does not only plan or build."""
        return not self.dry_run and not self.dataset_only


def run_training(
    resolved: Resolved, request: TrainRequest | None = None, observer: TrainingObserver | None = None
) -> TrainingResult:
    """Build the dataset if it is missing, then train, or continue the run in `checkpoint_path`.

    Under a launcher such as torchrun this is one of the training processes. The observer receives the progress.
    Raises TrmError.
    """
    from trm_cli.training.distributed.joining import join_process_group
    from trm_cli.training.hardware.devices import expect_device
    from trm_cli.training.hardware.torch_runtime import prepare_threads
    from trm_cli.training.run.find_run import find_weights

    expect_device(resolved.config.device)
    for named in (resolved.config.load_checkpoint, resolved.config.init_from):
        # Before anything that takes seconds to load.
        if named is not None and not os.path.lexists(path := find_weights(named)):
            raise CheckpointError(f"{path} cannot be read: there is no such file")
    prepare_threads()  # before torch is imported
    config, observer = resolved.config, observer or TrainingObserver()
    with join_process_group(
        global_batch_size=config.global_batch_size, device=config.device, silence=observer.silence
    ) as process_group:
        if process_group.count > 1:
            from trm_cli.config.dump import flat_values
            from trm_cli.training.distributed.config_agreement import require_same_config_on_all_ranks

            require_same_config_on_all_ranks(flat_values(config), process_group)
        result = _Training(resolved, request or TrainRequest(), observer, process_group).result()
    return replace(result, processes=process_group.count)


@dataclass(frozen=True)
class _Training:
    """One call of `run_training`, in one of the processes of the run."""

    resolved: Resolved
    request: TrainRequest
    observer: TrainingObserver
    process_group: ProcessGroup

    @property
    def path(self) -> Path:
        """The run directory."""
        return Path(self.resolved.config.checkpoint_path)

    def result(self) -> TrainingResult:
        """Build, plan and train."""
        from trm_cli.workflows.train.run_dataset import (
            end_build,
            ensure_dataset,
            missing_paths,
            refuse_other_settings,
        )
        from trm_cli.workflows.train.run_drift import check_drift

        request = self.request
        if not request.dataset_only and not request.fresh:
            check = partial(check_drift, self.resolved, self.observer.note, replan=request.replan)
            self.process_group.from_first(check)  # before anything is built
        if request.dry_run:
            if self.resolved.changes_dataset and not request.rebuild_dataset:
                self.process_group.from_first(lambda: refuse_other_settings(self.resolved))
            without_data = self.process_group.from_first(
                lambda: bool(missing_paths(self.resolved)) or self.resolved.changes_dataset
            )
            return self._planned_without_dataset() if without_data else self._run(None)
        # Several processes train on a dataset that is complete: a builder beside them could stop only one of them.
        incremental = request.incremental and not request.dataset_only and self.process_group.count == 1
        live = self.process_group.from_first(
            lambda: ensure_dataset(
                self.resolved, self.observer, rebuild=request.rebuild_dataset, incremental=incremental
            )
        )
        if request.dataset_only:
            self.observer.dataset_ready(self.resolved)
            return self._ended(Outcome.DATASET_BUILT)
        if live is None:
            return self._run(None)
        finished = False
        try:
            result = self._run(live)
            finished = result.exit_code is ExitCode.DONE and request.stop_at_step is None
        finally:
            end_build(live, self.observer, finished=finished)
        return result

    def _ended(self, outcome: Outcome, exit_code: ExitCode = ExitCode.DONE, run: Run | None = None) -> TrainingResult:
        result = TrainingResult(outcome, self.path, exit_code)
        if run is not None:
            plan, state = run.plan, run.state
            result = replace(result, step=state.step, total_steps=plan.total_steps, epochs=plan.epochs)
            result = replace(result, best_step=state.best_step)
        self.observer.ended(result)
        return result

    def _planned_without_dataset(self) -> TrainingResult:
        """Plan a run whose dataset is not built: the builder reports how many samples there will be."""
        from trm_cli.config.make_plan import make_plan
        from trm_cli.workflows.planning import find_facts

        facts, test_split = find_facts(self.resolved)
        plan = make_plan(self.resolved.config, facts, test_split=test_split)
        self.observer.planned(self.resolved, plan)
        start = self._find_start(None, plan)
        self.observer.would_start(start, plan)
        return self._ended(Outcome.PLANNED_WITHOUT_DATASET)

    def _run(self, live: LiveBuild | None) -> TrainingResult:
        """Plan and train on a complete dataset, or on one that `live` is still building."""
        self.process_group.from_first(self._clear_the_way)
        from trm_cli.training.checkpoint.disk_space import require_writable
        from trm_cli.training.hardware.machine import Machine
        from trm_cli.training.memory.check import MemoryCheck
        from trm_cli.training.run.datasets import Datasets

        config, observer = self.resolved.config, self.observer
        datasets = Datasets.open(config, None if live is None else live.waiting())
        plan = datasets.plan(config)
        observer.planned(self.resolved, plan)
        start = self.process_group.from_first(lambda: self._find_start(datasets, plan))
        observer.data_notes(datasets.train.notes)
        machine = Machine.choose(config, datasets.train.metadata.seq_len, self.process_group)
        observer.machine_chosen(machine, self.process_group.count)
        memory = MemoryCheck.of(config, datasets.train.metadata, machine, datasets.test, self.process_group)
        observer.memory_estimated(memory)
        if memory.hopeless and machine.device.value == "cpu":
            raise memory.too_large()  # the system would kill the process, without a word
        forecast = None
        if self.request.forecast:
            from trm_cli.training.forecast.make import Forecaster

            foreseeing = Forecaster(
                config, datasets, plan, machine, memory, self.process_group, building=live is not None
            )
            forecast = foreseeing.forecast(start.step, asked=self.request.dry_run)
        if forecast is not None:
            observer.foreseen(forecast)
        if self.request.dry_run:
            require_writable(self.path, memory.checkpoint_bytes)
            self._announce_discarded()
            observer.would_start(start, plan)
            return self._ended(Outcome.PLANNED)
        return self._prepare_and_train(datasets, machine, memory, live, forecast)

    def _clear_the_way(self) -> None:
        """Delete the run if a fresh start is requested."""
        from trm_cli.training.run.reset_run import clear_run

        if self.request.fresh and not self.request.dry_run and (deleted := clear_run(self.path)):
            self.observer.deleted(self.path, deleted)

    def _find_start(self, datasets: Datasets | None, plan: TrainingPlan) -> Start:
        """Find where the run starts; a dry run and a real one ask the same. datasets None: they are not built.

        Raises CheckpointError for a checkpoint that cannot be used or is required and missing, UsageError where a file
        of another run leaves nothing to do.
        """
        from trm_cli.training.run.initial_state import find_start

        data = None if datasets is None else datasets.train
        request = self.request
        start = find_start(self.resolved.config, data, from_step=request.from_step, fresh=request.fresh)
        if request.must_exist and start.file is None:
            from trm_cli.training.run.start_command import start_command

            started = f"`{start_command(self.path)}` starts it"
            raise CheckpointError(f"{self.path} has no checkpoint to continue from", hint=started)
        other = start.file is not None and start.file.resolve().parent != self.path.resolve()
        if other and start.step >= plan.total_steps:
            raise UsageError(
                f"{start.file} has done all {plan.total_steps:,} steps of this plan: there is nothing to train",
                hint=f"instead of load_checkpoint, {quote(f'init_from={start.file}')} starts from its weights",
            )
        return start

    def _announce_discarded(self) -> None:
        """Report, before anything is moved, which checkpoints `from_step` moves aside."""
        from trm_cli.training.checkpoint.store import CheckpointStore

        from_step = self.request.from_step
        if from_step is None:
            return
        newer = [step for step in CheckpointStore(self.path).steps() if step > from_step]
        if newer:
            self.observer.discarding(self.path, from_step, newer)

    def _prepare_and_train(
        self,
        datasets: Datasets,
        machine: Machine,
        memory: MemoryCheck,
        live: LiveBuild | None,
        forecast: Forecast | None,
    ) -> TrainingResult:
        """Load the newest checkpoint, and train unless the run is complete."""
        from trm_cli.config.dump import dump_config
        from trm_cli.training.run.run import Run
        from trm_cli.training.run.run_directory import RunDirectory

        config, text, group = self.resolved.config, dump_config(self.resolved), self.process_group
        # From here on, so that nobody adds to the run between the state that is read and the first update.
        with RunDirectory(self.path).held() if group.first else nullcontext():
            run = Run.prepare(
                config, text, datasets, machine, self.observer.note, group, from_step=self.request.from_step
            )
            self._announce_discarded()
            if run.complete:
                return self._ended(Outcome.ALREADY_COMPLETE, run=run)
            return self._train(run, memory, live, forecast)

    def _train(
        self, run: Run, memory: MemoryCheck, live: LiveBuild | None, forecast: Forecast | None
    ) -> TrainingResult:
        """Train; the process of rank 0 reports for all."""
        from trm_cli.training.recording.observer import Observer
        from trm_cli.training.signals import StopRequest
        from trm_cli.workflows.train.run_dataset import live_progress
        from trm_cli.workflows.train.within_memory import train_within_memory

        if run.start.file is not None and (run.start.step or run.config.init_from is None):
            self.observer.continuing(self.path, run.state.step)
        start = TrainingStart(
            model=run.config.model,
            architecture=run.config.arch.name,
            device=run.machine.device.value,
            precision=run.machine.precision.value,
            plan=run.plan,
            first_step=run.state.step,
            last_step=min(self.request.stop_at_step or run.plan.total_steps, run.plan.total_steps),
            compiles=run.machine.compile.value != "off",
            build=partial(live_progress, live),
        )
        observing = self.observer.training(start) if self.process_group.first else nullcontext(Observer())
        with StopRequest(self.request.stop_when) as stop, observing as watching:
            if live is not None:
                live.on_line, live.notice = watching.note, watching.waiting
                live.cancelled = lambda: bool(stop) or stop.failed
            code = train_within_memory(
                run,
                memory,
                watching,
                stop,
                stop_at_step=self.request.stop_at_step,
                resting=self.request.resting,
                forecast=forecast,
            )
        return self._ended(_outcome(run, code), code, run)


def _outcome(run: Run, code: ExitCode) -> Outcome:
    """Classify how the training loop has ended."""
    if not run.store.steps():
        return Outcome.INTERRUPTED_BEFORE_A_CHECKPOINT
    if code is not ExitCode.DONE:
        return Outcome.INTERRUPTED
    return Outcome.FINISHED if run.state.step >= run.plan.total_steps else Outcome.STOPPED_AS_ASKED
