"""Load the initial state of a run: its newest checkpoint, an older one, or a checkpoint of another run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm_cli.config.schema import RunConfig
from trm_cli.data.puzzles.dataset import PuzzleDataset
from trm_cli.data.stream.dataset import StreamDataset
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint, verify_checkpoint, with_shards
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.full_state import local_state
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.run.config_drift import differences
from trm_cli.training.run.run_directory import RunDirectory
from trm_cli.training.run.sealed_config import Sealed, newest_sealed
from trm_cli.training.state import TrainingState
from trm_cli.training.state_form import require_state_fits, well_formed

Data = PuzzleDataset | StreamDataset
#: State, summary and file of a checkpoint.
_Loaded = tuple[dict[str, Any], dict[str, Any], Path]


@dataclass(frozen=True)
class Start:
    """Where a run starts. step: the last step that is done. file: the checkpoint it starts from, None: new weights.

    replanned: that checkpoint is of this run, with another plan: it no longer says what the run does.
    """

    step: int
    file: Path | None = None
    replanned: bool = False


def find_start(config: RunConfig, data: Data | None, *, from_step: int | None = None, fresh: bool = False) -> Start:
    """Find the checkpoint from which a run will start, as `load_initial_state` does, without loading it.

    data None: not built yet, so that it cannot be compared. fresh: the run's own checkpoints do not count.
    Raises CheckpointError.
    """
    run = Path(config.checkpoint_path)
    if not fresh:
        store = RunDirectory(run).store()
        if from_step is not None:
            store.require_step(from_step)
            own = Sealed(store.path(from_step), verify_checkpoint(store.path(from_step)))
            store.require_own(own.checkpoint, from_step, own.summary)
        if newest := own if from_step is not None else newest_sealed(run):
            if data is not None:
                _require_same_data(newest, data)
            return Start(int(newest.summary["step"]), newest.checkpoint)
    named = config.load_checkpoint or config.init_from
    if named is None:
        return Start(0)
    other = Sealed(Path(named), verify_checkpoint(Path(named)))
    exact = config.init_from is None and (data is None or other.fingerprint == data.fingerprint)
    goes_on = exact and not _another_run(other, config)
    return Start(int(other.summary.get("step", 0)) if goes_on else 0, other.checkpoint)


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
) -> Start:
    """Load the checkpoint that the run starts from into `state`.

    from_step: this checkpoint of the run instead of its newest valid one. A run without checkpoints starts from
    `config.load_checkpoint`, which is continued exactly where data and settings allow that, else its weights are
    loaded alone; or from the weights of `config.init_from`. The first process reads the files, for all of them; each
    reads its own rows of a sharded checkpoint. Raises CheckpointError for a file that is damaged, of another run, or
    of another dataset.
    """
    assembled = not state.sharded
    batch = {name: torch.as_tensor(field).to(device) for name, field in data.blank(1).items()}

    def check(saved: dict[str, Any], summary: dict[str, Any], path: Path) -> None:
        whole = well_formed(with_shards(saved, summary, path) if state.sharded else saved, summary, path)
        require_state_fits(whole, state, batch=batch, rows=config.global_batch_size, where=path)

    def own() -> _Loaded | None:
        if from_step is None:
            return store.load_newest(notify, assembled=assembled, check=check)
        store.require_step(from_step)
        found = store.load(from_step, assembled=assembled)
        check(*found)
        return found

    def other() -> _Loaded | None:
        path = config.load_checkpoint or config.init_from
        return None if path is None else (*load_checkpoint(Path(path), assembled=assembled), Path(path))

    if loaded := _on_all_ranks(own, state, process_group):
        saved, summary, path = loaded
        sealed = Sealed(path, summary)
        _require_same_data(sealed, data)
        state.load_state_dict(local_state(saved, process_group), device)
        if state.step and state.carry is None:
            notify(f"{path} has no carry (save_carry=false): continuing with new rows, not bit-identically")
        before = sealed.config
        for key in ("load_checkpoint", "init_from"):
            if (file := getattr(config, key)) not in (None, getattr(before, key)):
                notify(f"{key}={file} is not used: {store.directory} has checkpoints of its own")
        return Start(state.step, path, any(one.resume == "replan" for one in differences(before, config)))
    if loaded := _on_all_ranks(other, state, process_group):
        return _start_from_another_run(loaded, state, data, device, batch, config, notify, process_group)
    return Start(0)


def _start_from_another_run(
    loaded: _Loaded,
    state: TrainingState,
    data: Data,
    device: torch.device,
    batch: Mapping[str, Tensor],
    config: RunConfig,
    notify: Callable[[str], None],
    process_group: ProcessGroup,
) -> Start:
    """Continue the run of `load_checkpoint` exactly where data and settings allow it, else load weights alone.

    batch: one row with the fields of the run's data.
    """
    saved, summary, path = loaded
    saved = well_formed(saved, summary, path)
    sealed = Sealed(path, summary)
    same_data, weights_alone = sealed.fingerprint == data.fingerprint, "only its weights are loaded"
    if config.init_from is None:
        changed = _another_run(sealed, config)
        if same_data and not changed:
            require_state_fits(saved, state, batch=batch, rows=config.global_batch_size, where=path)
            state.load_state_dict(local_state(saved, process_group), device)
            return Start(state.step, path)
        trained = f"with another {', '.join(changed)}" if same_data else "on other data"
        weights_alone = f"was trained {trained}: {weights_alone}"
    else:
        weights_alone = f"is where the run begins: {weights_alone}"
    known = state.load_weights(saved, same_rows=same_data)
    notify(f"{path} {weights_alone}, and the run starts at step 0")
    rows = 0 if state.table is None else len(state.table)
    if rows and not same_data:
        notify(f"puzzle table: {known:,} of {rows:,} rows matched by name; the others start from the mean of all")
    return Start(0, path)


def _another_run(before: Sealed, config: RunConfig) -> list[str]:
    """The keys by which `config` makes another run than the one that is sealed."""
    return [one.key for one in differences(before.config, config) if one.resume == "fatal"]


def _on_all_ranks(
    load: Callable[[], _Loaded | None], state: TrainingState, process_group: ProcessGroup
) -> _Loaded | None:
    """Call `load` in the first process, for all; of a sharded state each process adds the shards, which it maps."""
    loaded: _Loaded | None = process_group.state_from_first(load)
    if loaded is None or not state.sharded:
        return loaded
    saved, summary, path = loaded
    return with_shards(saved, summary, path), summary, path


def _require_same_data(sealed: Sealed, data: Data) -> None:
    """Raise CheckpointError for other data: identifiers would silently mean other puzzles."""
    before, now = sealed.fingerprint, data.fingerprint
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
