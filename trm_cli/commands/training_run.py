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
    from trm_cli.data.live_build import LiveBuild
    from trm_cli.schedule.plan import TrainingPlan
    from trm_cli.training.distributed.peers import Peers
    from trm_cli.training.observer import Observer
    from trm_cli.training.preflight import Preflight
    from trm_cli.training.session import Datasets, Machine, Run
    from trm_cli.training.signals import StopRequest


@dataclass(frozen=True)
class Wishes:
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


def carry_out(resolved: Resolved, wishes: Wishes) -> int:
    """Do what the command asked for; returns the exit code of the run."""
    from trm_cli.console.output import silence
    from trm_cli.training.devices import prepare_threads
    from trm_cli.training.distributed.joining import end_process, joined

    config = resolved.config
    if _is_launch(config.global_batch_size, wishes):
        return _launch(wishes)
    prepare_threads()  # before torch is imported
    with joined(global_batch_size=config.global_batch_size, device=config.device, silence=silence) as peers:
        code = _carry_out(resolved, wishes, peers)
    if peers.count > 1:
        end_process(code)
    return code


def _is_launch(global_batch_size: int, wishes: Wishes) -> bool:
    """Whether other processes do the work of this one. Raises UsageError for a number of them that cannot."""
    from trm_cli.training.distributed.launcher import launched_by_us
    from trm_cli.training.distributed.rows import check_divides

    count = wishes.nproc_per_node
    if count is None or launched_by_us():
        return False
    if "RANK" in os.environ:
        raise UsageError(
            "--nproc-per-node starts the processes itself, and a launcher has started this one",
            hint="leave --nproc-per-node out under torchrun or srun",
        )
    check_divides(global_batch_size, count)
    return count > 1 and not wishes.dry_run and not wishes.dataset_only


def _launch(wishes: Wishes) -> int:
    from trm_cli.console.output import note
    from trm_cli.training.distributed.launcher import launch

    assert wishes.nproc_per_node is not None
    return launch([sys.executable, "-m", "trm_cli", *sys.argv[1:]], wishes.nproc_per_node, note)


def _carry_out(resolved: Resolved, wishes: Wishes, peers: Peers) -> ExitCode:
    from trm_cli.commands.run_dataset import end_build, ensure_dataset, missing_paths

    if wishes.dry_run:
        without_data = peers.from_first(lambda: bool(missing_paths(resolved)))
        return _plan_without_dataset(resolved) if without_data else _run(resolved, wishes, None, peers)
    # Several processes train on a dataset that is complete: a builder beside them could stop only one of them.
    incremental = wishes.incremental and not wishes.dataset_only and peers.count == 1
    live = peers.from_first(lambda: ensure_dataset(resolved, rebuild=wishes.rebuild_dataset, incremental=incremental))
    if wishes.dataset_only:
        return ExitCode.DONE
    if live is None:
        return _run(resolved, wishes, None, peers)
    finished = False
    try:
        code = _run(resolved, wishes, live, peers)
        finished = code is ExitCode.DONE and wishes.stop_at_step is None
    finally:
        end_build(live, finished=finished)
    return code


def _run(resolved: Resolved, wishes: Wishes, live: LiveBuild | None, peers: Peers) -> ExitCode:
    """Plan, prepare and train on a dataset that is complete, or that `live` is completing."""
    from trm_cli.console.output import note
    from trm_cli.console.run_screen import show_choices, show_data_notes, show_plan

    run_path = Path(resolved.config.checkpoint_path)
    peers.from_first(lambda: _clear_the_way(resolved, wishes))
    from trm_cli.training.session import Datasets, Machine, Run

    datasets = Datasets.open(resolved.config, None if live is None else live.waiting())
    plan = datasets.plan(resolved.config)
    show_plan(resolved, plan)
    show_data_notes(datasets.train.notes)
    machine = Machine.choose(resolved.config, datasets.train.metadata.seq_len, peers)
    show_choices(machine, processes=peers.count)
    preflight = _preflight(resolved, plan, datasets, machine, peers)
    if not preflight.fits and not wishes.dry_run and machine.device.value == "cpu":
        raise preflight.too_large()  # the system would kill the process, without a word
    if wishes.dry_run:
        _show_cost(resolved.config, plan, machine.device.value, peers.count)
        _announce_discarded(run_path, wishes)
        note("dry run: nothing was written")
        return ExitCode.DONE
    from trm_cli.config.dump import dump_config
    from trm_cli.training.run_directory import RunDirectory

    text = dump_config(resolved)
    # From here on, so that nobody adds to the run between the state that is read and the first update.
    with RunDirectory(run_path).held() if peers.first else nullcontext():
        run = Run.prepare(resolved.config, text, datasets, machine, note, peers, from_step=wishes.from_step)
        return _carry_on(run, preflight, wishes, live)


def _carry_on(run: Run, preflight: Preflight, wishes: Wishes, live: LiveBuild | None) -> ExitCode:
    """Train where there is something left to do; the directory is held."""
    from trm_cli.console.output import note

    run_path = run.directory.path
    if wishes.must_exist and run.continued_from is None:
        raise CheckpointError(f"{run_path} has no checkpoint to continue from", hint="`trm train` starts it")
    _announce_discarded(run_path, wishes)
    if run.complete:
        best = f", the best of them {run.state.best_step:,}" if run.state.best_step else ""
        note(f"{run_path} is complete: {run.plan.total_steps:,} steps{best}")
        note("`--fresh` starts it again; `trm resume --extend-epochs N` goes on")
        return ExitCode.DONE
    _show_cost(run.config, run.plan, run.machine.device.value, run.peers.count)
    return _train(run, preflight, wishes, live)


def _clear_the_way(resolved: Resolved, wishes: Wishes) -> None:
    """Delete the run where that was asked for; else refuse what would silently change it."""
    from trm_cli.commands.run_drift import check_drift
    from trm_cli.console.output import note
    from trm_cli.training.fresh import clear_run

    run_path = Path(resolved.config.checkpoint_path)
    if wishes.fresh and not wishes.dry_run and (deleted := clear_run(run_path)):
        note(f"deleted {deleted} files of the run in {run_path}: a fresh start")
    check_drift(resolved, replan=wishes.replan)


def _announce_discarded(run_path: Path, wishes: Wishes) -> None:
    """Say, before anything is moved, what `--from STEP` gives up."""
    from trm_cli.console.output import note
    from trm_cli.training.checkpoint_store import DISCARDED, CheckpointStore

    if wishes.from_step is None:
        return
    newer = [step for step in CheckpointStore(run_path).steps() if step > wishes.from_step]
    if newer:
        listed = ", ".join(f"{step:,}" for step in newer)
        note(f"--from {wishes.from_step}: the checkpoints of steps {listed} move to {run_path / DISCARDED}")


def _preflight(resolved: Resolved, plan: TrainingPlan, datasets: Datasets, machine: Machine, peers: Peers) -> Preflight:
    """What the rows of this process need of its device's memory, shown."""
    from trm_cli.console.run_screen import show_memory
    from trm_cli.training.kept_estimate import kept_or_new
    from trm_cli.training.preflight import Preflight, Task
    from trm_cli.training.session import eval_batch_size

    train = datasets.train
    config = resolved.config.model_copy(update={"global_batch_size": plan.global_batch_size // peers.count})
    evaluated = eval_batch_size(resolved.config, datasets.test, peers.count) // peers.count
    shards = peers.count if config.sharding == "fsdp" else 1
    task = Task(config, plan, train.metadata, train.blank, machine, evaluated, shards)
    preflight = Preflight.of(task, kept_or_new(task, Path(config.checkpoint_path)), neighbours=peers.local_count)
    show_memory(preflight)
    return preflight


def _train_within_memory(
    run: Run, preflight: Preflight, view: Observer, stop: StopRequest, stop_at_step: int | None
) -> ExitCode:
    """Train; a device that runs out of memory is told with what would fit.

    The first update is the test of what no estimate sees: until it is done nothing of the run is newer on disk than
    what it started from, and after it every other update needs the same.
    """
    from trm_cli.training.preflight import is_out_of_memory

    try:
        return run.train(view, stop, stop_at_step=stop_at_step)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise preflight.too_large(error) from error


def _train(run: Run, preflight: Preflight, wishes: Wishes, live: LiveBuild | None) -> ExitCode:
    from trm_cli.commands.run_dataset import data_state
    from trm_cli.console.output import note
    from trm_cli.console.progress import SilentView, TrainingView
    from trm_cli.training.kept_estimate import keep
    from trm_cli.training.signals import StopRequest

    state, path = run.state, run.directory.path
    if not run.peers.first:
        with StopRequest() as stop:
            return _train_within_memory(run, preflight, SilentView(), stop, wishes.stop_at_step)
    with suppress(OSError):  # a saving; whether the directory can be written is said when the run begins
        keep(preflight.needed, preflight.task, path)
    if run.continued_from is not None:
        note(f"continuing {path} after step {state.step:,}")
    title = f"{run.config.model}  {run.config.arch.name}  {run.machine.device.value} {run.machine.precision.value}"
    view = TrainingView(
        title=title,
        total_steps=run.plan.total_steps,
        first_step=state.step,
        scheduled=list(run.plan.values_at(0)),
        data=(lambda: "") if live is None else partial(data_state, live),
    )
    with StopRequest() as stop, view:
        if live is not None:
            live.on_line, live.notice, live.cancelled = view.note, view.waiting, lambda: bool(stop) or stop.failed
        code = _train_within_memory(run, preflight, view, stop, wishes.stop_at_step)
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
    from trm_cli.commands.planning import find_facts
    from trm_cli.console.output import note
    from trm_cli.console.run_screen import show_plan
    from trm_cli.schedule.plan import make_plan

    plan = make_plan(resolved.config, find_facts(resolved))
    show_plan(resolved, plan)
    from trm_cli.training.devices import choose_device

    _show_cost(resolved.config, plan, choose_device(resolved.config.device).value)
    note("dry run: the dataset would be built first, or beside the training where it is a stream; nothing was written")
    return ExitCode.DONE


def _show_cost(config: RunConfig, plan: TrainingPlan, device: str, processes: int = 1) -> None:
    from trm_cli.console.run_screen import show_cost
    from trm_cli.training.cost import processor_cost

    cost = processor_cost(config, plan, processes) if device == "cpu" else None
    if cost is not None:
        show_cost(cost)
