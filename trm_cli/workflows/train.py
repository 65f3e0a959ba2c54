"""What `train`, `resume` and `quickstart` have in common: dataset, plan, run, and the screen around them."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import CheckpointError, ExitCode, UsageError

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.config.schema import RunConfig
    from trm_cli.data.building.live_build import LiveBuild
    from trm_cli.schedule.plan import TrainingPlan
    from trm_cli.training.distributed.process_group import ProcessGroup
    from trm_cli.training.hardware.machine import Machine
    from trm_cli.training.memory.preflight import Preflight
    from trm_cli.training.recording.observer import Observer
    from trm_cli.training.run.datasets import Datasets
    from trm_cli.training.run.run import Run
    from trm_cli.training.signals import StopRequest


@dataclass(frozen=True)
class TrainRequest:
    """What the options of the command asked for."""

    dry_run: bool = False
    fresh: bool = False
    replan: bool = False
    stop_at_step: int | None = None
    from_step: int | None = None
    dataset_only: bool = False
    rebuild_dataset: bool = False
    incremental: bool = True
    must_exist: bool = False
    #: Processes to start on this machine, this one in their place; None: this process does the work.
    nproc_per_node: int | None = None


def run_training(resolved: Resolved, request: TrainRequest) -> int:
    """Do what the command asked for; returns the exit code of the run."""
    from trm_cli.console.output import silence
    from trm_cli.training.distributed.joining import end_process, join_process_group
    from trm_cli.training.hardware.devices import prepare_threads

    config = resolved.config
    if _is_launch(config.global_batch_size, request):
        return _launch(request)
    prepare_threads()  # before torch is imported
    with join_process_group(
        global_batch_size=config.global_batch_size, device=config.device, silence=silence
    ) as process_group:
        code = _run_training(resolved, request, process_group)
    if process_group.count > 1:
        end_process(code)
    return code


def _is_launch(global_batch_size: int, request: TrainRequest) -> bool:
    """Whether other processes do the work of this one. Raises UsageError for a number of them that cannot."""
    from trm_cli.training.distributed.launcher import launched_by_us
    from trm_cli.training.distributed.process_group import check_divides

    count = request.nproc_per_node
    if count is None or launched_by_us():
        return False
    if "RANK" in os.environ:
        raise UsageError(
            "--nproc-per-node starts the processes itself, and a launcher has started this one",
            hint="leave --nproc-per-node out under torchrun or srun",
        )
    check_divides(global_batch_size, count)
    return count > 1 and not request.dry_run and not request.dataset_only


def _launch(request: TrainRequest) -> int:
    from trm_cli.console.output import note
    from trm_cli.training.distributed.launcher import launch

    assert request.nproc_per_node is not None
    return launch([sys.executable, "-m", "trm_cli", *sys.argv[1:]], request.nproc_per_node, note)


def _run_training(resolved: Resolved, request: TrainRequest, process_group: ProcessGroup) -> ExitCode:
    from trm_cli.workflows.run_dataset import end_build, ensure_dataset, missing_paths

    if request.dry_run:
        without_data = process_group.from_first(lambda: bool(missing_paths(resolved)))
        return _plan_without_dataset(resolved) if without_data else _run(resolved, request, None, process_group)
    # Several processes train on a dataset that is complete: a builder beside them could stop only one of them.
    incremental = request.incremental and not request.dataset_only and process_group.count == 1
    live = process_group.from_first(
        lambda: ensure_dataset(resolved, rebuild=request.rebuild_dataset, incremental=incremental)
    )
    if request.dataset_only:
        return ExitCode.DONE
    if live is None:
        return _run(resolved, request, None, process_group)
    finished = False
    try:
        code = _run(resolved, request, live, process_group)
        finished = code is ExitCode.DONE and request.stop_at_step is None
    finally:
        end_build(live, finished=finished)
    return code


def _run(resolved: Resolved, request: TrainRequest, live: LiveBuild | None, process_group: ProcessGroup) -> ExitCode:
    """Plan, prepare and train on a dataset that is complete, or that `live` is completing."""
    from trm_cli.console.output import note
    from trm_cli.console.views.run import show_choices, show_data_notes, show_plan

    run_path = Path(resolved.config.checkpoint_path)
    process_group.from_first(lambda: _clear_the_way(resolved, request))
    from trm_cli.training.hardware.machine import Machine
    from trm_cli.training.run.datasets import Datasets
    from trm_cli.training.run.run import Run

    datasets = Datasets.open(resolved.config, None if live is None else live.waiting())
    plan = datasets.plan(resolved.config)
    show_plan(resolved, plan)
    show_data_notes(datasets.train.notes)
    machine = Machine.choose(resolved.config, datasets.train.metadata.seq_len, process_group)
    show_choices(machine, processes=process_group.count)
    preflight = _preflight(resolved, plan, datasets, machine, process_group)
    if not preflight.fits and not request.dry_run and machine.device.value == "cpu":
        raise preflight.too_large()  # the system would kill the process, without a word
    if request.dry_run:
        _show_cost(resolved.config, plan, machine.device.value, process_group.count)
        _announce_discarded(run_path, request)
        note("dry run: nothing was written")
        return ExitCode.DONE
    from trm_cli.config.dump import dump_config
    from trm_cli.training.run.run_directory import RunDirectory

    text = dump_config(resolved)
    # From here on, so that nobody adds to the run between the state that is read and the first update.
    with RunDirectory(run_path).held() if process_group.first else nullcontext():
        run = Run.prepare(resolved.config, text, datasets, machine, note, process_group, from_step=request.from_step)
        return _carry_on(run, preflight, request, live)


def _carry_on(run: Run, preflight: Preflight, request: TrainRequest, live: LiveBuild | None) -> ExitCode:
    """Train where there is something left to do; the directory is held."""
    from trm_cli.console.output import note

    run_path = run.directory.path
    if request.must_exist and run.continued_from is None:
        raise CheckpointError(f"{run_path} has no checkpoint to continue from", hint="`trm train` starts it")
    _announce_discarded(run_path, request)
    if run.complete:
        best = f", the best of them {run.state.best_step:,}" if run.state.best_step else ""
        note(f"{run_path} is complete: {run.plan.total_steps:,} steps{best}")
        note("`--fresh` starts it again; `trm resume --extend-epochs N` goes on")
        return ExitCode.DONE
    _show_cost(run.config, run.plan, run.machine.device.value, run.process_group.count)
    return _train(run, preflight, request, live)


def _clear_the_way(resolved: Resolved, request: TrainRequest) -> None:
    """Delete the run where that was asked for; else refuse what would silently change it."""
    from trm_cli.console.output import note
    from trm_cli.training.run.reset_run import clear_run
    from trm_cli.workflows.run_drift import check_drift

    run_path = Path(resolved.config.checkpoint_path)
    if request.fresh and not request.dry_run and (deleted := clear_run(run_path)):
        note(f"deleted {deleted} files of the run in {run_path}: a fresh start")
    check_drift(resolved, replan=request.replan)


def _announce_discarded(run_path: Path, request: TrainRequest) -> None:
    """Say, before anything is moved, what `--from STEP` gives up."""
    from trm_cli.console.output import note
    from trm_cli.training.checkpoint.store import CheckpointStore
    from trm_cli.training.run_files import DISCARDED

    if request.from_step is None:
        return
    newer = [step for step in CheckpointStore(run_path).steps() if step > request.from_step]
    if newer:
        listed = ", ".join(f"{step:,}" for step in newer)
        note(f"--from {request.from_step}: the checkpoints of steps {listed} move to {run_path / DISCARDED}")


def _preflight(
    resolved: Resolved, plan: TrainingPlan, datasets: Datasets, machine: Machine, process_group: ProcessGroup
) -> Preflight:
    """What the rows of this process need of its device's memory, shown."""
    from trm_cli.console.views.run import show_memory
    from trm_cli.training.memory.kept_estimate import kept_or_new
    from trm_cli.training.memory.preflight import Preflight, Task
    from trm_cli.training.run.datasets import eval_batch_size

    train = datasets.train
    config = resolved.config.model_copy(update={"global_batch_size": plan.global_batch_size // process_group.count})
    evaluated = eval_batch_size(resolved.config, datasets.test, process_group.count) // process_group.count
    shards = process_group.count if config.sharding == "fsdp" else 1
    task = Task(config, plan, train.metadata, train.blank, machine, evaluated, shards)
    preflight = Preflight.of(
        task, kept_or_new(task, Path(config.checkpoint_path)), neighbours=process_group.local_count
    )
    show_memory(preflight)
    return preflight


def _train_within_memory(
    run: Run, preflight: Preflight, view: Observer, stop: StopRequest, stop_at_step: int | None
) -> ExitCode:
    """Train; a device that runs out of memory is told with what would fit.

    The first update is the test of what no estimate sees: until it is done nothing of the run is newer on disk than
    what it started from, and after it every other update needs the same.
    """
    from trm_cli.training.memory.preflight import is_out_of_memory

    try:
        return run.train(view, stop, stop_at_step=stop_at_step)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise preflight.too_large(error) from error


def _train(run: Run, preflight: Preflight, request: TrainRequest, live: LiveBuild | None) -> ExitCode:
    from trm_cli.console.output import note
    from trm_cli.console.views.training import SilentView, TrainingView
    from trm_cli.training.memory.kept_estimate import keep
    from trm_cli.training.signals import StopRequest
    from trm_cli.workflows.run_dataset import data_state

    state, path = run.state, run.directory.path
    if not run.process_group.first:
        with StopRequest() as stop:
            return _train_within_memory(run, preflight, SilentView(), stop, request.stop_at_step)
    with suppress(OSError):  # a saving; whether the directory can be written is said when the run begins
        keep(preflight.needed, preflight.task, path)
    if run.continued_from is not None:
        note(f"continuing {path} after step {state.step:,}")
    title = f"{run.config.model}  {run.config.arch.name}  {run.machine.device.value} {run.machine.precision.value}"
    view = TrainingView(
        title=title,
        total_steps=run.plan.total_steps,
        first_step=state.step,
        scheduled=list(run.plan.record_at(0)),
        data=(lambda: "") if live is None else partial(data_state, live),
    )
    with StopRequest() as stop, view:
        if live is not None:
            live.on_line, live.notice, live.cancelled = view.note, view.waiting, lambda: bool(stop) or stop.failed
        code = _train_within_memory(run, preflight, view, stop, request.stop_at_step)
    if not run.store.steps():
        note("stopped before there was anything to save; the same command begins again")
    elif code is ExitCode.DONE:
        if state.step >= run.plan.total_steps:
            note(f"done: {state.step:,} steps; the run is in {path}")
        else:
            note(f"stopped at step {state.step:,} as asked; `trm resume {path}` goes on")
    else:
        note(f"stopped after step {state.step:,} with everything saved; `trm resume {path}` goes on")
    return code


def _plan_without_dataset(resolved: Resolved) -> ExitCode:
    """A dry run before the dataset is complete: its dataset.json or its builder counts what will be there."""
    from trm_cli.console.output import note
    from trm_cli.console.views.run import show_plan
    from trm_cli.schedule.make_plan import make_plan
    from trm_cli.workflows.planning import find_facts

    plan = make_plan(resolved.config, find_facts(resolved))
    show_plan(resolved, plan)
    from trm_cli.training.hardware.devices import choose_device

    _show_cost(resolved.config, plan, choose_device(resolved.config.device).value)
    note("dry run: the dataset would be built first, or beside the training where it is a stream; nothing was written")
    return ExitCode.DONE


def _show_cost(config: RunConfig, plan: TrainingPlan, device: str, processes: int = 1) -> None:
    from trm_cli.console.views.run import show_cost
    from trm_cli.workflows.cpu_cost import processor_cost

    cost = processor_cost(config, plan, processes) if device == "cpu" else None
    if cost is not None:
        show_cost(cost)
