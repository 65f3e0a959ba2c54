"""Provide the dataset of a run: find what is missing, and build it before or during training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.addresses import local_location
from trm_cli.errors import DatasetError
from trm_cli.paths import exists
from trm_cli.shell import command_line
from trm_cli.workflows.build import BuildRequest, build_dataset, command_of, flags_placed

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.config.registry import RegistryEntry
    from trm_cli.data.building.builder_process import BuildProgress
    from trm_cli.data.building.live_build import LiveBuild
    from trm_cli.workflows.observers import TrainingObserver


def missing_paths(resolved: Resolved) -> list[str]:
    """Return the dataset directories that are missing or incomplete."""
    from trm_cli.data.files.manifest import check_complete, read_manifest

    missing = []
    for path in resolved.config.data_paths:
        if not exists(Path(path) / "train" / "dataset.json"):
            missing.append(path)
            continue
        try:
            if (manifest := read_manifest(path)) is not None:
                check_complete(path, manifest)
        except DatasetError:
            missing.append(path)
    return missing


def fetch_addresses(resolved: Resolved, say: Callable[[str], None]) -> None:
    """Bring the copies of datasets that lie elsewhere up to date, as far as they are built. Raises TrmError."""
    if resolved.addresses:
        from trm_cli.data.files.remote_dataset import fetch

        for address in resolved.addresses.values():
            fetch(address, say)


def ensure_dataset(
    resolved: Resolved, observer: TrainingObserver, *, rebuild: bool = False, incremental: bool = True
) -> LiveBuild | None:
    """Build the model's dataset where it is missing, or continue an interrupted build. Raises TrmError.

    incremental: return as soon as training can begin; the builder that is still at work is returned then. None: the
    dataset is complete.
    """
    fetch_addresses(resolved, observer.note)
    missing = missing_paths(resolved)
    if not missing and not rebuild and not resolved.changes_dataset:
        return None
    entry = _builder_of(resolved)
    if entry is None:
        raise DatasetError(
            f"dataset {', '.join(missing or resolved.config.data_paths)} is missing, and no model says how to build it",
            hint="name the model (`trm build-dataset MODEL`), or correct data_paths",
        )
    request = BuildRequest(rebuild=rebuild)
    if incremental and (missing or rebuild):
        return _begin(entry, request, observer)
    build_dataset(entry, request, observer)
    return None


def refuse_other_settings(resolved: Resolved) -> None:
    """For a dry run: raise DatasetError where numbers that were typed for the builder are not those of the dataset that
    is there, and whole. The builder itself compares everything, when it is started."""
    from trm_cli.data.files.manifest import read_manifest

    entry = resolved.registry
    manifest = None if entry is None else read_manifest(entry.dataset_args["output_dir"])
    if entry is None or manifest is None or manifest.state != "complete":
        return
    known = {**manifest.flags, "seed": manifest.seed}
    typed = [word for word in resolved.overrides if word.startswith("dataset_args.")]
    for key in (word.partition("=")[0].partition(".")[2] for word in typed):
        there, now = known.get(key), entry.dataset_args.get(key)
        if _numbers(there) and _numbers(now) and len(_numbers(there)) == len(_numbers(now)) and there != now:
            place = entry.dataset_args["output_dir"]
            again = command_line("trm", "build-dataset", entry.word, *typed, "--rebuild")
            raise DatasetError(
                f"{place} holds a dataset with other settings: {key} {there} there, {now} now",
                hint=f"choose another dataset_args.output_dir=VALUE, or `{again}`",
            )


def _numbers(value: Any) -> list[int | float]:
    """A number, or a list of them; empty for anything else."""
    items = list(value) if isinstance(value, list | tuple) else [value]
    return items if all(isinstance(item, int | float) for item in items) else []


def _builder_of(resolved: Resolved) -> RegistryEntry | None:
    """Return the registry entry whose builder makes the data of this run, also for a run that is resumed."""
    from trm_cli.config import registry
    from trm_cli.config.compose import compose

    entry = resolved.registry
    if entry is None and registry.find("models", resolved.config.model) is not None:
        entry = compose(resolved.config.model).registry
    if entry is None or [local_location(str(entry.dataset_args["output_dir"]))] != list(resolved.config.data_paths):
        return None
    return entry


def _begin(entry: RegistryEntry, request: BuildRequest, observer: TrainingObserver) -> LiveBuild | None:
    from trm_cli.data.building.live_build import LiveBuild

    command = command_of(entry, request)
    root = local_location(str(entry.dataset_args["output_dir"]))
    with flags_placed(entry), observer.building(entry.title) as watching:
        live = LiveBuild(root, command, watching.build_progress, watching.build_line)
        if live.process_id is None:
            observer.note(f"{root} is being built by another process: training begins when its first chunk is there")
        try:
            if not live.until_ready():
                return None
        except BaseException:
            live.stop()
            raise
    live.on_progress, live.on_line = (lambda _: None), observer.note
    by = "another process" if live.process_id is None else f"process {live.process_id}"
    observer.note(
        f"{root}: the first chunk is there, so training starts; {by} builds the rest (--no-incremental builds first)"
    )
    return live


def live_progress(live: LiveBuild | None) -> BuildProgress | None:
    """Return the progress of a background build; None where there is none, or once it has ended."""
    return live.progress if live is not None and live.look() else None


def end_build(live: LiveBuild, observer: TrainingObserver, *, finished: bool) -> None:
    """After training, wait for a background build or stop it. Raises the error of the builder.

    finished: training is complete, so the build is waited for; after an early stop it is stopped too.
    """
    if finished and live.look():
        if live.process_id is None:
            observer.note(f"{live.root} is still being built by another process, which continues")
            return
        observer.note(
            f"the training is done; the builder of {live.root} finishes its work (Ctrl-C stops it, nothing is lost)"
        )
        with observer.building(str(live.root)) as watching:
            live.on_progress, live.on_line = watching.build_progress, watching.build_line
            live.until_complete()
    elif live.stop():
        observer.note(
            f"stopped the builder of {live.root}; its finished parts are kept, and the next command continues them"
        )
    elif finished and live.failure is not None:
        raise live.failure
