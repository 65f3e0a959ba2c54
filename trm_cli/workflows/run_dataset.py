"""The dataset of a run: what is missing of it, and the builder that makes it, before the training or beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import DatasetError

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.config.registry import RegistryEntry
    from trm_cli.data.building.live_build import LiveBuild


def missing_paths(resolved: Resolved) -> list[str]:
    """The dataset directories that are not built, or not completely."""
    from trm_cli.data.files.manifest import check_complete, read_manifest

    missing = []
    for path in resolved.config.data_paths:
        if not (Path(path) / "train" / "dataset.json").exists():
            missing.append(path)
            continue
        try:
            if (manifest := read_manifest(path)) is not None:
                check_complete(path, manifest)
        except DatasetError:
            missing.append(path)
    return missing


def ensure_dataset(resolved: Resolved, *, rebuild: bool = False, incremental: bool = True) -> LiveBuild | None:
    """Build the model's dataset where it is missing, or continue an interrupted build. Raises TrmError.

    incremental: return as soon as training can begin; the builder that is still at work is returned then. None: the
    dataset is complete.
    """
    missing = missing_paths(resolved)
    if not missing and not rebuild:
        return None
    entry = _builder_of(resolved)
    if entry is None:
        raise DatasetError(
            f"dataset {', '.join(missing or resolved.config.data_paths)} is missing, and no model says how to build it",
            hint="name the model (`trm build-dataset MODEL`), or correct data_paths",
        )
    if incremental:
        return _begin(entry, rebuild)
    from trm_cli.commands.build_dataset import build

    build(entry, rebuild=rebuild)
    return None


def _builder_of(resolved: Resolved) -> RegistryEntry | None:
    """The entry whose builder makes the data of this run; for a run that is resumed, the entry that it came from."""
    from trm_cli.config import registry
    from trm_cli.config.compose import compose

    entry = resolved.registry
    if entry is None and registry.find("models", resolved.config.model) is not None:
        entry = compose(resolved.config.model).registry
    if entry is None or [entry.dataset_args["output_dir"]] != list(resolved.config.data_paths):
        return None
    return entry


def _begin(entry: RegistryEntry, rebuild: bool) -> LiveBuild | None:
    from trm_cli.config.dataset_args import builder_flags
    from trm_cli.console.output import note
    from trm_cli.console.views.build import BuildView, show_command
    from trm_cli.data.building.builder_process import builder_command
    from trm_cli.data.building.live_build import LiveBuild

    command = builder_command(entry.dataset_builder, [*builder_flags(entry.dataset_args), *["--rebuild"] * rebuild])
    root = str(entry.dataset_args["output_dir"])
    with BuildView(entry.title) as view:
        live = LiveBuild(root, command, view.progress, view.line)
        if live.process_id is None:
            note(f"{root} is being built by another process: training begins when its first chunk is there")
        else:
            show_command(command)
        try:
            if not live.until_ready():
                return None
        except BaseException:
            live.stop()
            raise
    live.on_progress, live.on_line = (lambda _: None), note
    by = "another process" if live.process_id is None else f"process {live.process_id}"
    note(f"{root}: the first chunk is there, so training starts; {by} builds the rest (--no-incremental builds first)")
    return live


def data_state(live: LiveBuild) -> str:
    """How far a build in the background is, for the screen of the run; "" once it has ended."""
    if not live.look() or live.progress is None:
        return ""
    done, total = live.progress.done, max(1, live.progress.total)
    return f"dataset {done / total:.0%} built ({done:,} of {total:,} {live.progress.unit})"


def end_build(live: LiveBuild, *, finished: bool) -> None:
    """See a build in the background to its end after the training, or stop it, and say which. Raises its error.

    finished: the plan is carried out. Whoever stopped the training early did not want the machine to stay busy.
    """
    from trm_cli.console.output import note
    from trm_cli.console.views.build import BuildView

    if finished and live.look():
        if live.process_id is None:
            note(f"{live.root} is still being built by another process; that one goes on")
            return
        note(f"the training is done; the builder of {live.root} finishes its work (Ctrl-C stops it, nothing is lost)")
        with BuildView(str(live.root)) as view:
            live.on_progress, live.on_line = view.progress, view.line
            live.until_complete()
    elif live.stop():
        note(f"stopped the builder of {live.root}; its finished parts are kept, and the next command continues them")
    elif finished and live.failure is not None:
        raise live.failure
