"""Load the initial state of a run: its newest checkpoint, an older one, or a checkpoint of another run."""

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
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint, with_shards
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.full_state import local_state
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.run.config_drift import differences
from trm_cli.training.state import TrainingState
from trm_cli.training.state_form import require_state_fits, well_formed

Data = PuzzleDataset | StreamDataset
#: State, summary and file of a checkpoint.
_Loaded = tuple[dict[str, Any], dict[str, Any], Path]


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
    """Load the checkpoint that the run continues from into `state`; returns its file, None where there is none.

    from_step: this checkpoint of the run instead of its newest valid one. A run without checkpoints starts from
    `config.load_checkpoint`: it is continued exactly where data and settings allow that, else only its weights are
    loaded. The first process reads the files, for all of them; each reads its own rows of a sharded checkpoint.
    Raises CheckpointError for a file that is damaged, of another run, or of another dataset.
    """
    assembled = not state.sharded

    def check(saved: dict[str, Any], summary: dict[str, Any], path: Path) -> None:
        whole = well_formed(with_shards(saved, summary, path) if state.sharded else saved, summary, path)
        require_state_fits(whole, state, rows=config.global_batch_size, where=path)

    def own() -> _Loaded | None:
        if from_step is None:
            return store.load_newest(notify, assembled=assembled, check=check)
        store.require_step(from_step)
        found = store.load(from_step, assembled=assembled)
        check(*found)
        return found

    def other() -> _Loaded | None:
        path = config.load_checkpoint
        return None if path is None else (*load_checkpoint(Path(path), assembled=assembled), Path(path))

    if loaded := _on_all_ranks(own, state, process_group):
        saved, summary, path = loaded
        _require_same_data(summary, data)
        state.load_state_dict(local_state(saved, process_group), device)
        if state.step and state.carry is None:
            notify(f"{path} has no carry (save_carry=false): continuing with new rows, not bit-identically")
        return path
    if loaded := _on_all_ranks(other, state, process_group):
        saved, summary, path = loaded
        saved = well_formed(saved, summary, path)
        same_data = _fingerprint(summary) == data.fingerprint
        before = read_run_config(summary["config"], f"the configuration in {path}")
        changed = [difference.key for difference in differences(before, config) if difference.resume == "fatal"]
        if same_data and not changed:
            require_state_fits(saved, state, rows=config.global_batch_size, where=path)
            state.load_state_dict(local_state(saved, process_group), device)
        else:
            known = state.load_weights(saved, same_rows=same_data)
            trained = f"with another {', '.join(changed)}" if same_data else "on other data"
            notify(f"{path} was trained {trained}: only its weights are loaded, and the run starts at step 0")
            rows = 0 if state.table is None else len(state.table)
            if rows and not same_data:
                notify(
                    f"puzzle table: {known:,} of {rows:,} rows matched by name; the others start from the mean of all"
                )
        return path
    return None


def _on_all_ranks(
    load: Callable[[], _Loaded | None], state: TrainingState, process_group: ProcessGroup
) -> _Loaded | None:
    """Call `load` in the first process, for all; of a sharded state each process adds the shards, which it maps."""
    loaded: _Loaded | None = process_group.state_from_first(load)
    if loaded is None or not state.sharded:
        return loaded
    saved, summary, path = loaded
    return with_shards(saved, summary, path), summary, path


def _fingerprint(summary: dict[str, Any]) -> str:
    return str(dict(summary["dataset"])["fingerprint"])


def _require_same_data(summary: dict[str, Any], data: Data) -> None:
    """Raise CheckpointError for other data: identifiers would silently mean other puzzles."""
    before, now = _fingerprint(summary), data.fingerprint
    if before != now:
        raise CheckpointError(
            f"the run was trained on another dataset: fingerprint {before[:12]} then, {now[:12]} now",
            hint="build the same dataset again (same flags and seed), or start another run with checkpoint_path=",
        )


def discard_newer(store: CheckpointStore, state: TrainingState, metrics: Path) -> list[int]:
    """Move the checkpoints after the state's step to `discarded/`, with a copy of the metrics; returns their steps.

    Otherwise the next resume would continue from the newest of them. The links are switched first, so that neither ever
    points at a missing file.
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
