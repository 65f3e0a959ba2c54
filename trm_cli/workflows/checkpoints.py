"""List, verify, prune, consolidate and export checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trm_cli.errors import CheckpointError, UsageError
from trm_cli.paths import from_here, is_dir, is_file

if TYPE_CHECKING:
    from trm_cli.training.checkpoint.consolidation import Consolidated
    from trm_cli.training.checkpoint.inventory import Entry
    from trm_cli.training.checkpoint.retention import Decision
    from trm_cli.training.checkpoint.store import CheckpointStore
    from trm_cli.training.transfer.exporting import Exported

Notify = Callable[[str], None]


@dataclass(frozen=True)
class RunCheckpoints:
    """The checkpoints of a run, oldest first."""

    directory: Path
    entries: Sequence[Entry]

    @property
    def valid(self) -> bool:
        """Whether no checkpoint has a problem."""
        return all(entry.problem is None for entry in self.entries)


@dataclass(frozen=True)
class Pruned:
    """Which checkpoints were kept or deleted. freed_bytes: 0 in a dry run."""

    directory: Path
    decisions: Sequence[Decision]
    freed_bytes: int


def list_checkpoints(named: str | None, *, verified: bool = False) -> RunCheckpoints:
    """List the checkpoints of a run (None: the latest run). Raises CheckpointError.

    verified: check every byte, and whether the model can be loaded.
    """
    from trm_cli.training.checkpoint.inventory import inventory
    from trm_cli.training.run.find_run import find_run
    from trm_cli.training.run.run_directory import RunDirectory

    directory = find_run(named)
    entries = inventory(RunDirectory(directory).store(), verified=verified)
    return RunCheckpoints(directory, [_with_form(directory, entry) for entry in entries] if verified else entries)


def _with_form(directory: Path, entry: Entry) -> Entry:
    """Add to a verified entry what loading it would refuse: a right checksum says that a file is unchanged, no more."""
    from trm_cli.training.run.trained_model import load_file

    if entry.problem is not None:
        return entry
    try:
        load_file(directory / entry.file)
    except CheckpointError as error:
        # A run that trains meanwhile may have deleted it.
        gone = not (directory / entry.file).exists()
        return entry if gone else replace(entry, verified=False, problem=error.message)
    return entry


def prune(named: str | None, notify: Notify, *, keep: int | None = None, dry_run: bool = False) -> Pruned:
    """Delete all but the newest `keep` checkpoints (None: as the run is configured). Raises CheckpointError."""
    from trm_cli.training.checkpoint.retention import decide, prune_checkpoints
    from trm_cli.training.run.find_run import find_run
    from trm_cli.training.run.readable_copies import check_copies
    from trm_cli.training.run.run_directory import RunDirectory
    from trm_cli.training.run.sealed_config import load_run, load_run_plan

    directory = RunDirectory(find_run(named))
    check_copies(directory.path, notify)
    kept = keep or load_run(directory.path).config.keep_checkpoints
    plan = load_run_plan(directory.path)
    with directory.held():
        notify(f"reading the checkpoints of {directory.path}")
        store = directory.store()
        decisions = decide(store, keep=kept, milestones=plan.milestones or () if plan is not None else ())
        freed = 0 if dry_run else prune_checkpoints(store, decisions)
    return Pruned(directory.path, decisions, freed)


def consolidate(named: str | None, notify: Notify, *, step: int | None = None, out: Path | None = None) -> Consolidated:
    """Convert a sharded checkpoint to a single file. step None: the newest. out None: in its place.

    Raises UsageError and CheckpointError.
    """
    from trm_cli.training.run.find_run import find_run
    from trm_cli.training.run.run_directory import RunDirectory

    if out is not None:
        _require_outside_of_runs(out)
    directory = RunDirectory(find_run(named))
    with directory.held() if out is None else nullcontext():
        store = directory.store()
        chosen = _chosen_step(store, named, step)
        notify(f"reading the checkpoint of step {chosen:,} of {directory.path}")
        from trm_cli.training.checkpoint import consolidation

        return consolidation.consolidate(store, chosen, out)


def _chosen_step(store: CheckpointStore, named: str | None, step: int | None) -> int:
    """The step that is given, that of the checkpoint file `named`, or the newest. Raises CheckpointError."""
    from trm_cli.training.checkpoint.checkpoint_format import read_file_summary

    if step is None and named is not None and Path(named).suffix == ".pt":
        step = read_file_summary(Path(named)).get("step")
    steps = store.steps()
    if step is None:
        if not steps:
            raise CheckpointError(f"{store.directory} has no checkpoint yet")
        return steps[-1]
    store.require_step(step)
    return step


def export_run(
    named: str | None,
    out: Path,
    form: Literal["safetensors", "original", "onnx"],
    notify: Notify,
    *,
    averaged: bool | None = None,
    compiled: bool = True,
    identifiers: Path | None = None,
) -> Exported:
    """Export the weights of a run to `out`: as safetensors, for the original code, or one step of it as ONNX.

    averaged None: averaged weights where the run has any. compiled: names as torch.compile has them. identifiers: a
    file for the names of the puzzle table's rows. Raises UsageError and CheckpointError.
    """
    from trm_cli.training.checkpoint.checkpoint_io import read_summary
    from trm_cli.training.run.find_run import find_checkpoint
    from trm_cli.training.run.readable_copies import check_copies
    from trm_cli.training.run.sealed_config import Sealed, load_sealed
    from trm_cli.training.run.trained_model import require_own_weights
    from trm_cli.training.transfer.exporting import export_weights, write_identifiers

    _require_outside_of_runs(out, files=".pt")
    checkpoint = find_checkpoint(named)
    check_copies(checkpoint.parent, notify)
    if identifiers is not None and not Sealed(checkpoint, read_summary(checkpoint)).config.arch.puzzle_emb_ndim:
        raise UsageError("this network has no puzzle table: leave out --identifiers")
    notify(f"reading {from_here(checkpoint)}")
    if form == "onnx":
        return _export_onnx(checkpoint, out, averaged, notify)
    state, sealed = load_sealed(checkpoint)
    require_own_weights(state, sealed)
    if identifiers is not None:  # first: without its names a table is of no use
        notify(f"{identifiers}: the names of {write_identifiers(state, sealed, identifiers):,} rows")
    return export_weights(state, sealed, out, form, averaged=averaged, compiled=compiled)


def _export_onnx(checkpoint: Path, out: Path, averaged: bool | None, notify: Callable[[str], None]) -> Exported:
    from trm_cli.training.run.trained_model import load_file
    from trm_cli.training.transfer.exporting import Exported
    from trm_cli.training.transfer.onnx_step import export_onnx

    trained = load_file(checkpoint, raw=averaged is False)
    difference = export_onnx(trained, out)
    notify(f"computed by onnxruntime, its outputs are within {difference:.1g} of torch's")
    tensors = len(trained.model.state_dict())
    size = out.stat().st_size
    return Exported(str(out), "onnx", str(checkpoint), trained.step, trained.weights, tensors, size)


def _require_outside_of_runs(out: Path, files: str = "") -> None:
    """Refuse a file in a run directory (with `files`: only one with this ending). Raises UsageError."""
    if is_dir(out) or (out.name.endswith(files) and is_file(out.parent / "config.yaml")):
        raise UsageError(f"{out} is inside a run directory", hint="choose another file: --out FILE")
