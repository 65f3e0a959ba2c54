"""A run: prepare it from a configuration and a dataset, then train it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.errors import ExitCode
from trm_cli.models.kernels import choice
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.training.checkpoint.disk_space import require_space_for_one_checkpoint
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.config_agreement import require_same_data_on_all_ranks
from trm_cli.training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.loop import Loop
from trm_cli.training.profiling import NoProfile, Profile
from trm_cli.training.recording.loggers import open_loggers
from trm_cli.training.recording.metrics_log import continue_log
from trm_cli.training.recording.observer import Observer
from trm_cli.training.recording.recorders import RunRecorders
from trm_cli.training.run.build import make_model, make_state, prepare_model
from trm_cli.training.run.datasets import Datasets, TrainBatches, eval_batch_size
from trm_cli.training.run.initial_state import Start, StateLoader, discard_newer
from trm_cli.training.run.run_directory import RunDirectory
from trm_cli.training.run_files import DISCARDED, METRICS, PROFILE, TIMINGS
from trm_cli.training.signals import StopRequest
from trm_cli.training.state.training_state import TrainingState
from trm_cli.version import __version__

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run that is ready to train. Preparing it reads checkpoints and writes nothing."""

    config: RunConfig
    config_text: str
    plan: TrainingPlan
    datasets: Datasets
    machine: Machine
    directory: RunDirectory
    store: CheckpointStore
    state: TrainingState
    start: Start
    from_step: int | None = None
    process_group: ProcessGroup = SINGLE_PROCESS

    @classmethod
    def prepare(
        cls,
        config: RunConfig,
        config_text: str,
        datasets: Datasets,
        machine: Machine,
        notify: Callable[[str], None],
        process_group: ProcessGroup = SINGLE_PROCESS,
        *,
        from_step: int | None = None,
    ) -> Run:
        """Make the model and its state, and load the newest valid checkpoint, if there is one, or that of `from_step`.

        Raises UsageError, DatasetError or CheckpointError where settings, data or checkpoint do not fit.
        """
        require_same_data_on_all_ranks(datasets.train.fingerprint, process_group)
        model = make_model(config, datasets.train.metadata, machine.precision.value)
        sharded = prepare_model(model, config, machine, process_group)
        state = make_state(config, model, machine)
        state.sharded = sharded
        count = sum(parameter.numel() for parameter in state.trunk_parameters())
        _log.info("%s: %d trained weights, kernels %s", config.arch.name, count, "on" if choice.enabled() else "off")
        state.identifiers = datasets.identifiers() if state.puzzle_optimizer is not None else None
        plan = datasets.plan(config)
        directory = RunDirectory(Path(config.checkpoint_path))
        store = directory.store(keep=config.keep_checkpoints, milestones=plan.milestones)
        loader = StateLoader(config, state, store, datasets.train, machine.torch_device, notify, process_group)
        start = loader.load(from_step)
        if start.file is not None and from_step is None and process_group.first:
            try:
                store.point_best(state.best_step)
            except OSError as error:
                notify(f"best.pt could not be switched to step {state.best_step:,} ({error.strerror or error})")
        return cls(
            config, config_text, plan, datasets, machine, directory, store, state, start, from_step, process_group
        )

    @property
    def complete(self) -> bool:
        """Whether all steps of the plan are done and evaluated."""
        evaluated = self.state.evaluated_step >= self.plan.total_steps or not self.plan.test_split
        return self.state.step >= self.plan.total_steps and evaluated

    def train(
        self,
        observer: Observer,
        stop: StopRequest,
        *,
        stop_at_step: int | None = None,
        resting: tuple[int, ...] = (),
        forecast: Mapping[str, Any] | None = None,
    ) -> ExitCode:
        """Train from the state's step on, up to `stop_at_step` where one is given; groups that rest are not drawn.

        forecast: kept beside the times that it foresees.

        The caller has locked the directory since before `prepare`: what that has read must still be true.
        """
        if not self.process_group.first:
            return self._loop(observer, stop, stop_at_step, resting, RunRecorders())
        path, state = self.directory.path, self.state
        with ExitStack() as opened:
            with self.directory.writing():
                if self.from_step is not None and (newer := discard_newer(self.store, state, path / METRICS)):
                    observer.note(f"moved {len(newer)} newer checkpoints to {path / DISCARDED}")
                path.mkdir(parents=True, exist_ok=True)
                require_space_for_one_checkpoint(path, state.state_dict(), state.trunk_optimizer)
                summary = self.begin()
                follow = partial(
                    continue_log, step=state.step, evaluated_step=state.evaluated_step, notify=observer.note
                )
                metrics = opened.enter_context(closing(follow(path / METRICS, logged_step=self._logged_step())))
                timings = opened.enter_context(closing(follow(path / TIMINGS)))
            if forecast is not None:
                timings.write({"step": state.step, "forecast": forecast})
            loggers = open_loggers(self.config, path, summary["run"], state.step + 1, observer.note)
            for logger in loggers:
                opened.callback(logger.close)
            with self.store.pinned():
                recorders = RunRecorders(summary, metrics, timings, loggers)
                return self._loop(observer, stop, stop_at_step, resting, recorders)

    def _loop(
        self,
        observer: Observer,
        stop: StopRequest,
        stop_at_step: int | None,
        resting: tuple[int, ...],
        recorders: RunRecorders,
    ) -> ExitCode:
        datasets, profile = self.datasets, self._profile(observer)
        batches = TrainBatches(datasets.train, self.plan, self.config.seed, self.process_group, resting)
        loop = Loop(
            config=self.config,
            plan=self.plan,
            state=self.state,
            train_batch=batches.train_batch,
            test=datasets.test,
            eval_batch_size=eval_batch_size(self.config, datasets.test, self.process_group.count),
            store=self.store,
            recorders=recorders,
            observer=observer,
            device=self.machine.torch_device,
            process_group=self.process_group,
            profile=profile,
            sealed=not self.start.replanned,
            graphs=self.machine.compile.value == "graphs",
        )
        try:
            return loop.run(stop, last_step=stop_at_step)
        finally:
            profile.close()

    def _logged_step(self) -> int:
        """The last step that this run has logged; 0 where it has not begun, or has begun with the state of another."""
        own = self.start.file is not None and self.start.file.parent == self.directory.path
        return self.state.step - int(self.state.sums.get("updates", 0)) if own else 0

    def _profile(self, observer: Observer) -> NoProfile:
        """The profiler, where `profile` is set; only the first process is measured."""
        if not self.config.profile or not self.process_group.first:
            return NoProfile()
        folder = self.directory.path / PROFILE
        return Profile(folder, self.machine.torch_device, first_step=self.state.step + 1, notify=observer.note)

    def begin(self) -> dict[str, Any]:
        """Write configuration, plan and identity to the directory; returns the summary of every checkpoint to come."""
        identity = self.directory.begin(
            config=self.config_text,
            plan=self.plan.to_json(),
            dataset=self.datasets.identity(),
            threads=int(self.machine.threads.value),
        )
        return {
            **identity,
            "config": self.config_text,
            "plan": self.plan.fingerprint(),
            "trm": __version__,
            "torch": torch.__version__,
        }
