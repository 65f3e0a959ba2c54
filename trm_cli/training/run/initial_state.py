"""What a run begins with: its own newest checkpoint, an older one of its own, or a file of another run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trm_cli.config.compose import read_run_config
from trm_cli.config.schema import RunConfig
from trm_cli.data.puzzles.dataset import PuzzleDataset
from trm_cli.data.stream.dataset import StreamDataset
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_file import load_checkpoint, load_shared
from trm_cli.training.checkpoint.shards import with_parts
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.distributed.whole_state import own_state
from trm_cli.training.run.config_drift import differences
from trm_cli.training.state import TrainingState

Data = PuzzleDataset | StreamDataset


def load_initial_state(
    state: TrainingState,
    store: CheckpointStore,
    data: Data,
    device: torch.device,
    *,
    config: RunConfig,
    from_step: int | None,
    notify: Callable[[str], None],
    process_group: ProcessGroup,
) -> Path | None:
    """Load what the run goes on from into `state`; returns the file, None where the run starts from nothing.

    from_step: this checkpoint of the run instead of the newest whole one. Where the run has none of its own it starts
    from `load_checkpoint`: that is continued exactly where data and settings allow it, else its weights are taken.
    The first process reads the files, for all of them; the parts of a sharded state are read by each for itself.
    Raises CheckpointError for a file that is damaged, of another run, or of another dataset.
    """
    joined = not state.sharded
    found = process_group.state_from_first(
        lambda: store.load_newest(notify, joined=joined) if from_step is None else _own(store, from_step, joined=joined)
    )
    if found is not None:
        saved, summary, path = found
        saved = saved if joined else with_parts(saved, summary, path)
        _require_same_data(summary, data)
        state.load_state_dict(own_state(saved, process_group), device)
        if state.step and state.carry is None:
            notify(f"{path} has no carry (save_carry=false): the run goes on with fresh rows, not to the same bits")
        return path  # type: ignore[no-any-return]
    if config.load_checkpoint is None:
        return None
    path = Path(config.load_checkpoint)
    saved, summary = process_group.state_from_first(lambda: load_checkpoint(path) if joined else load_shared(path))
    saved = saved if joined else with_parts(saved, summary, path)
    same_data = _fingerprint(summary) == data.fingerprint
    before = read_run_config(summary["config"], f"the configuration in {path}")
    others = [difference.key for difference in differences(before, config) if difference.resume == "fatal"]
    if same_data and not others:
        state.load_state_dict(own_state(saved, process_group), device)
        return path
    known = state.load_weights(saved, same_rows=same_data)
    rows = 0 if state.model.puzzle_embedding is None else len(state.model.puzzle_embedding.weight)  # type: ignore[arg-type, union-attr]
    trained = f"with another {', '.join(others)}" if same_data else "on other data"
    notify(f"{path} was trained {trained}: its weights are taken, and the run starts at step 0")
    if rows and not same_data:
        notify(f"puzzle table: {known:,} of {rows:,} rows are known by name; the others begin with the mean of all")
    return path


def _own(store: CheckpointStore, step: int, *, joined: bool) -> tuple[dict[str, Any], dict[str, Any], Path]:
    steps = store.steps()
    if step not in steps:
        listed = ", ".join(map(str, steps)) or "none"
        raise CheckpointError(
            f"{store.directory} has no checkpoint of step {step:,}", hint=f"the steps that it has: {listed}"
        )
    return store.load(step, joined=joined)


def _fingerprint(summary: dict[str, Any]) -> str:
    return str(dict(summary["dataset"])["fingerprint"])


def _require_same_data(summary: dict[str, Any], data: Data) -> None:
    """Refuse to continue on other data: identifiers would mean other puzzles, and nothing would say so."""
    before, now = _fingerprint(summary), data.fingerprint
    if before != now:
        raise CheckpointError(
            f"the run was trained on another dataset: fingerprint {before[:12]} then, {now[:12]} now",
            hint="build the dataset as it was (same flags and seed), or start a run of its own with checkpoint_path=",
        )


def discard_newer(store: CheckpointStore, state: TrainingState, metrics: Path) -> list[int]:
    """Move the checkpoints after the state's step to `discarded/`, with a copy of the metrics; returns their steps.

    Otherwise the newest of them would be the one that the next resume goes on from. The links are switched first, so
    that neither ever names a file that has gone.
    """
    newer = [step for step in store.steps() if step > state.step]
    if not newer:
        return []
    store.point_latest(state.step)
    best = store.best_step()
    if best is not None and best > state.step:
        store.point_best(state.best_step)
        if store.best_step() == best:
            store.unlink_best()
    store.set_aside(newer, metrics)
    return newer
