"""From a configuration and a dataset to a run that can be started, continued or used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from trm_cli import __version__
from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.opening import open_data
from trm_cli.data.puzzles.dataset import BatchOrder, PuzzleDataset
from trm_cli.data.puzzles.identifier_map import IdentifierMap, read_identifier_map
from trm_cli.data.stream.dataset import StreamDataset
from trm_cli.data.stream.waiting import Waiting
from trm_cli.errors import ExitCode, UsageError
from trm_cli.models import create_model
from trm_cli.schedule.make_plan import make_plan
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.training.checkpoint.disk_space import require_space_for_one_checkpoint
from trm_cli.training.checkpoint.store import DISCARDED, CheckpointStore
from trm_cli.training.distributed.config_agreement import require_same_data_on_all_ranks
from trm_cli.training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trm_cli.training.distributed.sharding import shard
from trm_cli.training.ema import EMA
from trm_cli.training.gradients import gradient_groups
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.loop import Loop, LoopSettings
from trm_cli.training.optimizers.adam_atan2 import AdamATan2
from trm_cli.training.optimizers.eager import AdamW
from trm_cli.training.optimizers.sign_sgd import SignSGD
from trm_cli.training.profiling import FOLDER, NoProfile, Profile
from trm_cli.training.recording.loggers import open_loggers
from trm_cli.training.recording.metrics_log import JsonLines, cut_back
from trm_cli.training.recording.observer import Observer
from trm_cli.training.recording.recorders import NO_RECORDERS, RunRecorders
from trm_cli.training.run.initial_state import discard_newer, load_initial_state
from trm_cli.training.run.run_directory import RunDirectory
from trm_cli.training.signals import StopRequest
from trm_cli.training.state import TrainingState
from trm_cli.training.step import StepSettings


@dataclass(frozen=True)
class Datasets:
    """The splits of a run."""

    train: PuzzleDataset | StreamDataset
    test: PuzzleDataset | StreamDataset | None

    @classmethod
    def open(cls, config: RunConfig, waiting: Waiting | None = None) -> Datasets:
        """Open what the configuration names; the test split may be absent. Raises DatasetError.

        waiting: how to wait for the chunks of a stream dataset that is still being built.
        """
        canvas = config.canvas_size
        train = open_data(config.data_paths, "train", canvas_size=canvas, waiting=waiting)
        test_paths = config.data_paths_test or config.data_paths
        has_test = bool(config.data_paths_test) or all((Path(path) / "test").is_dir() for path in test_paths)
        test = open_data(test_paths, "test", canvas_size=canvas, waiting=waiting) if has_test else None
        return cls(train, test)

    def plan(self, config: RunConfig) -> TrainingPlan:
        """The plan of a run on this dataset. Raises UsageError for settings that make no plan."""
        try:
            return make_plan(config, self.train.facts)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def identifiers(self) -> IdentifierMap | None:
        """What the rows of a puzzle table stand for, where the dataset says it."""
        metadata = self.train.metadata
        return read_identifier_map(self.train.paths, metadata.kind or "", metadata.num_puzzle_identifiers)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must remember of its dataset: the fingerprint, and what it takes to use the model."""
        return {"fingerprint": self.train.fingerprint, "metadata": self.train.metadata.to_json()}


def make_model(config: RunConfig, metadata: DatasetMetadata, forward_dtype: str) -> nn.Module:
    """A new model, its initial weights a function of the seed alone. Raises UsageError for contradictory settings."""
    torch.manual_seed(config.seed)
    settings = config.arch.model_dump(exclude={"family", "name"})
    try:
        return create_model(
            config.arch.family,
            {**settings, "forward_dtype": forward_dtype},
            vocab_size=metadata.vocab_size,
            seq_len=metadata.seq_len,
            num_puzzle_identifiers=metadata.num_puzzle_identifiers,
        )
    except ValueError as error:
        raise UsageError(str(error), hint="`trm configs show` prints every setting with its source") from error


def make_state(config: RunConfig, model: nn.Module, machine: Machine) -> TrainingState:
    """The state before the first update."""
    trunk = list(model.trunk_parameters())  # type: ignore[operator]
    betas = (config.beta1, config.beta2)
    optimizer: Optimizer
    if config.optimizer == "adamw":
        optimizer = AdamW(trunk, lr=config.lr, betas=betas, weight_decay=config.weight_decay, fused=True)
    else:
        optimizer = AdamATan2(trunk, lr=config.lr, betas=betas, weight_decay=config.weight_decay)
    table = model.puzzle_embedding
    return TrainingState(
        model=model,
        trunk_optimizer=optimizer,
        puzzle_optimizer=None if table is None else SignSGD(table.weight, weight_decay=config.puzzle_emb_weight_decay),  # type: ignore[arg-type, union-attr]
        ema=EMA(model, config.ema_rate) if config.ema else None,  # type: ignore[arg-type]
        groups=gradient_groups(model),
        scaler=torch.amp.GradScaler(machine.device.value) if machine.precision.value == "float16" else None,
    )


def eval_batch_size(config: RunConfig, test: PuzzleDataset | StreamDataset | None, processes: int = 1) -> int:
    """Rows of one batch of an evaluation: without gradients many fit, and none should be there for padding alone."""
    rows = 0 if test is None else -(-test.eval_rows // processes) * processes
    return min(rows, max(config.global_batch_size, 256))


class BoundData:
    """A training set together with the order in which this run draws from it, and the rows of this process."""

    def __init__(
        self,
        dataset: PuzzleDataset | StreamDataset,
        plan: TrainingPlan,
        seed: int,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self._dataset = dataset
        self._rows = process_group.rows(plan.global_batch_size)
        self._order = BatchOrder(plan.global_batch_size, plan.steps_per_epoch, plan.step_rounding)
        self._seed = seed

    def train_batch(self, step: int) -> dict[str, np.ndarray]:
        """The rows of update `step`."""
        return self._dataset.train_batch(step, self._order, self._seed, self._rows)


@dataclass(frozen=True)
class Run:
    """A run that is ready to go: nothing was written yet except, on continuing, what is read here."""

    config: RunConfig
    config_text: str
    plan: TrainingPlan
    datasets: Datasets
    machine: Machine
    directory: RunDirectory
    store: CheckpointStore
    state: TrainingState
    continued_from: Path | None
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
        """Build the model and take over the newest whole checkpoint, if there is one, or that of `from_step`."""
        require_same_data_on_all_ranks(datasets.train.fingerprint, process_group)
        model = make_model(config, datasets.train.metadata, machine.precision.value).to(machine.torch_device)
        if config.activation_checkpointing:
            model.recompute_activations()  # type: ignore[operator]
        if machine.compile.value == "on":
            model.compile_stacks()  # type: ignore[operator]
        model.share_rows(process_group)  # type: ignore[operator]
        sharded = config.sharding == "fsdp" and process_group.count > 1
        if sharded:
            shard(model, count=process_group.count, device_type=machine.device.value, precision=machine.precision.value)
        state = make_state(config, model, machine)
        state.sharded = sharded
        state.identifiers = datasets.identifiers() if state.puzzle_optimizer is not None else None
        plan = datasets.plan(config)
        directory = RunDirectory(Path(config.checkpoint_path))
        store = directory.store(keep=config.keep_checkpoints, milestones=plan.milestones)
        path = load_initial_state(
            state,
            store,
            datasets.train,
            machine.torch_device,
            config=config,
            from_step=from_step,
            notify=notify,
            process_group=process_group,
        )
        if path is not None and from_step is None and process_group.first:
            store.point_best(state.best_step)
        return cls(
            config=config,
            config_text=config_text,
            plan=plan,
            datasets=datasets,
            machine=machine,
            directory=directory,
            store=store,
            state=state,
            continued_from=path,
            from_step=from_step,
            process_group=process_group,
        )

    @property
    def complete(self) -> bool:
        """Whether the plan is carried out already."""
        return self.state.step >= self.plan.total_steps and self.state.evaluated_step >= self.plan.total_steps

    def train(self, observer: Observer, stop: StopRequest, *, stop_at_step: int | None = None) -> ExitCode:
        """Carry the plan out from the state's step on, up to `stop_at_step` where one is given.

        The directory is held by whoever calls this, since before `prepare`: what that has read must still be true.
        """
        if not self.process_group.first:
            return self._loop(observer, stop, stop_at_step, NO_RECORDERS)
        if self.from_step is not None and (newer := discard_newer(self.store, self.state, self.directory.metrics_path)):
            observer.note(f"{len(newer)} newer checkpoints are in {self.directory.path / DISCARDED} now")
        with self.directory.writing():
            self.directory.path.mkdir(parents=True, exist_ok=True)
            require_space_for_one_checkpoint(self.directory.path, self.state.state_dict(), self.state.trunk_optimizer)
            identity = self.directory.begin(
                config=self.config_text,
                plan=self.plan.to_json(),
                dataset=self.datasets.identity(),
                threads=int(self.machine.threads.value),
            )
            metrics = self._log(self.directory.metrics_path, observer)
            timings = self._log(self.directory.timings_path, observer)
        loggers = open_loggers(
            self.config,
            directory=self.directory.path,
            run_id=identity["run"],
            first_step=self.state.step + 1,
            notify=observer.note,
        )
        try:
            return self._loop(
                observer, stop, stop_at_step, RunRecorders(self.summary(identity), metrics, timings, loggers)
            )
        finally:
            for logger in loggers:
                logger.close()
            metrics.close()
            timings.close()

    def _log(self, path: Path, observer: Observer) -> JsonLines:
        """A record of the run, which goes on where the state stands."""
        damaged = cut_back(path, step=self.state.step, evaluated_step=self.state.evaluated_step)
        if damaged:
            observer.note(f"{path} has damaged lines, which stay as they are: {damaged:,}")
        return JsonLines(path)

    def _loop(
        self, observer: Observer, stop: StopRequest, stop_at_step: int | None, recorders: RunRecorders
    ) -> ExitCode:
        profile = self._profile(observer)
        loop = Loop(
            plan=self.plan,
            state=self.state,
            train=BoundData(self.datasets.train, self.plan, self.config.seed, self.process_group),
            test=self.datasets.test,
            store=self.store,
            recorders=recorders,
            observer=observer,
            settings=self._loop_settings(profile),
            profile=profile,
        )
        try:
            return loop.run(stop, last_step=stop_at_step)
        finally:
            profile.close()

    def _profile(self, observer: Observer) -> NoProfile:
        """What `profile` asks for; of several processes the first one is measured."""
        if not self.config.profile or not self.process_group.first:
            return NoProfile()
        folder = self.directory.path / FOLDER
        return Profile(folder, self.machine.torch_device, first_step=self.state.step + 1, notify=observer.note)

    def summary(self, identity: dict[str, Any]) -> dict[str, Any]:
        """What every checkpoint of the run says about it."""
        return {
            **identity,
            "config": self.config_text,
            "plan": self.plan.fingerprint(),
            "trm": __version__,
            "torch": torch.__version__,
        }

    def _loop_settings(self, profile: NoProfile) -> LoopSettings:
        config = self.config
        minutes = config.checkpoint_minutes
        return LoopSettings(
            step=StepSettings(
                config.global_batch_size,
                config.grad_clip,
                config.micro_batch_size,
                process_group=self.process_group,
                enter_phase=profile.enter,
            ),
            nonfinite_limit=config.nonfinite_limit,
            seed=config.seed,
            log_interval=config.log_interval,
            checkpoint_seconds=None if minutes is None else 60 * minutes,
            eval_batch_size=eval_batch_size(config, self.datasets.test, self.process_group.count),
            eval_batches=config.eval_batches,
            save_carry=config.save_carry,
            device=self.machine.torch_device,
        )
