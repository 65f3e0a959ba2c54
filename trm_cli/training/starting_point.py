"""What a run begins with: its own newest checkpoint, an older one of its own, or a file of another run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trm_cli.data.puzzle_dataset import PuzzleDataset
from trm_cli.data.stream_dataset import StreamDataset
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint_file import load_checkpoint, load_shared
from trm_cli.training.checkpoint_store import CheckpointStore
from trm_cli.training.distributed.peers import Peers
from trm_cli.training.distributed.whole_state import own_state
from trm_cli.training.parts import with_parts
from trm_cli.training.state import TrainingState

Data = PuzzleDataset | StreamDataset


def take_over(
    state: TrainingState,
    store: CheckpointStore,
    data: Data,
    device: torch.device,
    *,
    from_step: int | None,
    elsewhere: str | None,
    tell: Callable[[str], None],
    peers: Peers,
) -> Path | None:
    """Load what the run goes on from into `state`; returns the file, None where the run starts from nothing.

    from_step: this checkpoint of the run instead of the newest whole one. elsewhere: a file to start from where the run
    has none of its own; on the same data it is continued exactly, on other data its weights are taken.
    The first process reads the files, for all of them; the parts of a sharded state are read by each for itself.
    Raises CheckpointError for a file that is damaged, of another run, or of another dataset.
    """
    joined = not state.sharded
    found = peers.state_from_first(
        lambda: store.load_newest(tell, joined=joined) if from_step is None else _own(store, from_step, joined=joined)
    )
    if found is not None:
        saved, summary, path = found
        saved = saved if joined else with_parts(saved, summary, path)
        _require_same_data(summary, data)
        state.load_state_dict(own_state(saved, peers), device)
        if state.step and state.carry is None:
            tell(f"{path} has no carry (save_carry=false): the run goes on with fresh rows, not to the same bits")
        return path  # type: ignore[no-any-return]
    if elsewhere is None:
        return None
    path = Path(elsewhere)
    saved, summary = peers.state_from_first(lambda: load_checkpoint(path) if joined else load_shared(path))
    saved = saved if joined else with_parts(saved, summary, path)
    if _fingerprint(summary) == data.fingerprint:
        state.load_state_dict(own_state(saved, peers), device)
        return path
    known = state.load_weights(saved)
    rows = 0 if state.model.puzzle_embedding is None else len(state.model.puzzle_embedding.weight)  # type: ignore[arg-type, union-attr]
    tell(f"{path} was trained on other data: its weights are taken, and the run starts at step 0")
    if rows:
        tell(f"puzzle table: {known:,} of {rows:,} rows are known by name; the others begin with the mean of all")
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
