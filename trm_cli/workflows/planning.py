"""Plan the model or run that a command names, with counts from its dataset, its builder or the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trm_cli.config import registry
from trm_cli.config.compose import Resolved, compose
from trm_cli.config.make_plan import Counts, make_plan
from trm_cli.errors import DatasetError, UsageError
from trm_cli.paths import exists, is_dir, is_file
from trm_cli.schedule.plan import DatasetCounts, TrainingPlan
from trm_cli.schedule.steps import as_written, samples_per_epoch
from trm_cli.shell import command_line
from trm_cli.training.run.readable_copies import check_copies
from trm_cli.training.run.sealed_config import load_run, load_run_plan, read_plan
from trm_cli.training.run_files import PLAN, is_run

_WITHOUT = ", or plan without it: --samples-per-epoch N"


@dataclass(frozen=True)
class Planned:
    """A plan with the model or run that it is for, and the sources of its settings."""

    plan: TrainingPlan
    name: str
    title: str
    sources: Mapping[str, str] = field(default_factory=dict)


def plan_target(
    target: str | None,
    overrides: Sequence[str] = (),
    samples: str | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> Planned:
    """The plan of a model (a name or a YAML file) or of a run directory.

    samples: samples per epoch, instead of those of the dataset. notify: receives messages for the user.
    Raises UsageError, ConfigError, DatasetError or CheckpointError.
    """
    run = _run_directory(target)
    if run is None:
        resolved = compose(target, overrides)
        facts, test_split = (
            (given_facts(samples), True) if samples is not None else find_facts(resolved, without=_WITHOUT)
        )
        return _planned(resolved, facts, test_split=test_split)
    stored = _run_plan(run, notify)
    if not overrides and samples is None:
        return Planned(stored, run.name, f"run {run}")
    # What if this run were continued otherwise: its own configuration and counts, changed by the overrides.
    facts = stored.facts if samples is None else given_facts(samples)
    return _planned(load_run(run, overrides), facts, run, test_split=stored.test_split)


def plan_resolved(resolved: Resolved, samples: str | None = None) -> TrainingPlan:
    """The plan of a configuration that is composed; samples: see `plan_target`."""
    facts, test_split = (given_facts(samples), True) if samples is not None else find_facts(resolved, without=_WITHOUT)
    return _planned(resolved, facts, test_split=test_split).plan


def plan_other(target: str, samples: str | None = None, notify: Callable[[str], None] = lambda _: None) -> Planned:
    """Return a plan to compare with: a run as it was planned, or a model with `samples` instead of its dataset's."""
    return plan_target(target, samples=None if _run_directory(target) else samples, notify=notify)


def _run_plan(run: Path, notify: Callable[[str], None]) -> TrainingPlan:
    """The plan that is sealed in a run; without a checkpoint, the one that its directory keeps."""
    if is_run(run):
        check_copies(run, notify)
        if (plan := load_run_plan(run)) is not None:
            return plan
    return read_plan(run)


def given_facts(samples: str) -> DatasetCounts:
    """Counts from --samples-per-epoch."""
    try:
        number = as_written(samples.replace(",", "").replace("_", ""))
        samples_per_epoch(1, number)
    except ValueError as error:
        raise UsageError(f"--samples-per-epoch takes a number above 0, found {samples!r}") from error
    return DatasetCounts(1, number, "as given by --samples-per-epoch")


def find_facts(resolved: Resolved, *, without: str = "") -> tuple[Counts, bool]:
    """The counts of a dataset, from its dataset.json when it is built, else from its builder's plan; and whether there
    is a test split.

    without: the end of a hint where there is no dataset.
    """
    from trm_cli.data.files.metadata import METADATA_NAME, has_split

    paths, board_side = resolved.config.data_paths, resolved.config.board_side
    missing = [path for path in paths if not is_file(Path(path) / "train" / METADATA_NAME)]
    if not missing and not resolved.changes_dataset:
        from trm_cli.data.stream.storage.plan import facts_on_board

        facts = facts_on_board(paths, board_side)
        files = ", ".join(f"{path}/train/{METADATA_NAME}" for path in paths)
        counts = DatasetCounts(facts.total_groups, facts.mean_puzzle_examples, f"counted in {files}")
        return counts, bool(resolved.config.data_paths_test) or has_split(paths, "test")
    entry = resolved.registry
    build = command_line("trm", "build-dataset", entry.word) if entry is not None else ""
    if entry is None or len(paths) > 1:
        raise DatasetError(f"dataset {(missing or paths)[0]} is not built", hint=f"correct data_paths{without}")
    from trm_cli.data.building.builder_plan import planned_facts
    from trm_cli.workflows.build import BuildRequest, command_of, flags_placed

    hint = f"build it (`{build}`){without}"
    try:
        with flags_placed(entry):
            planned = planned_facts(command_of(entry, BuildRequest()), board_side)
    except DatasetError as error:
        error.hint = error.hint or hint
        raise
    return planned, bool(resolved.config.data_paths_test) or planned.test_split


def _planned(resolved: Resolved, facts: Counts, run: Path | None = None, *, test_split: bool) -> Planned:
    try:
        plan = make_plan(resolved.config, facts, test_split=test_split)
    except ValueError as error:
        raise UsageError(f"these settings make no plan: {error}") from error
    if run is not None:
        return Planned(plan, run.name, f"run {run}, changed", resolved.sources)
    name = resolved.registry.name if resolved.registry else resolved.config.model
    return Planned(plan, name, f"{name}, architecture {resolved.config.arch.name}", resolved.sources)


def _run_directory(target: str | None) -> Path | None:
    """Return the run that an argument names, by its directory or a checkpoint in it; None when it names a model."""
    if target is None:
        return None
    path = Path(target)
    if path.suffix == ".pt" and is_file(path):
        return path.parent
    if is_dir(path) and (is_run(path) or exists(path / PLAN) or registry.find("models", target) is None):
        return path
    return None
