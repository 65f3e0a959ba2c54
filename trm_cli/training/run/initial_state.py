"""Load the initial state of a run: its newest checkpoint, an older one, or a checkpoint of another run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.errors import CheckpointError
from trm_cli.paths import from_here
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint, verify_checkpoint, with_shards
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.full_state import local_state
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.run.config_drift import differences
from trm_cli.training.run.datasets import Dataset
from trm_cli.training.run.find_run import find_weights
from trm_cli.training.run.run_directory import RunDirectory
from trm_cli.training.run.sealed_config import Sealed, newest_sealed
from trm_cli.training.state.state_form import require_state_fits, well_formed
from trm_cli.training.state.training_state import TrainingState

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


def find_start(config: RunConfig, data: Dataset | None, *, from_step: int | None = None, fresh: bool = False) -> Start:
    """Find the checkpoint from which a run will start, as `StateLoader` does, without loading it.

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
            return Start(newest.step, newest.checkpoint)
    named = config.load_checkpoint or config.init_from
    if named is None:
        return Start(0)
    path = find_weights(named)
    other = Sealed(path, verify_checkpoint(path))
    exact = config.init_from is None and (data is None or other.fingerprint == data.fingerprint)
    goes_on = exact and not _another_run(other, config)
    return Start(other.step if goes_on else 0, other.checkpoint)


@dataclass(frozen=True)
class StateLoader:
    """Loads the checkpoint that a run starts from into its `state`."""

    config: RunConfig
    state: TrainingState
    store: CheckpointStore
    data: Dataset
    device: torch.device
    notify: Callable[[str], None]
    process_group: ProcessGroup

    def load(self, from_step: int | None) -> Start:
        """Load the newest valid checkpoint of the run, or that of `from_step`.

        A run without checkpoints starts from `config.load_checkpoint`, which is continued exactly where data and
        settings allow that, else its weights are loaded alone; or from the weights of `config.init_from`. The first
        process reads the files, for all of them; each reads its own rows of a sharded checkpoint. Raises
        CheckpointError for a file that is damaged, of another run, or of another dataset.
        """
        if loaded := self._on_all_ranks(lambda: self._own(from_step)):
            return self._continue_own(*loaded)
        if loaded := self._on_all_ranks(self._other):
            return self._start_from_another_run(*loaded)
        return Start(0)

    def _own(self, from_step: int | None) -> _Loaded | None:
        assembled = not self.state.sharded
        if from_step is None:
            return self.store.load_newest(self.notify, assembled=assembled, check=self._check)
        self.store.require_step(from_step)
        found = self.store.load(from_step, assembled=assembled)
        self._check(*found)
        return found

    def _other(self) -> _Loaded | None:
        named = self.config.load_checkpoint or self.config.init_from
        if named is None:
            return None
        path = find_weights(named)
        return (*load_checkpoint(path, assembled=not self.state.sharded), path)

    def _check(self, saved: dict[str, Any], summary: dict[str, Any], path: Path) -> None:
        """Raise CheckpointError unless the run can continue from a checkpoint as `_own` reads it."""
        whole = with_shards(saved, summary, path) if self.state.sharded else saved
        self._require_fits(well_formed(whole, summary, path), path)

    def _require_fits(self, saved: dict[str, Any], path: Path) -> None:
        batch = {name: torch.as_tensor(field).to(self.device) for name, field in self.data.blank(1).items()}
        require_state_fits(saved, self.state, batch=batch, rows=self.config.global_batch_size, where=path)

    def _on_all_ranks(self, load: Callable[[], _Loaded | None]) -> _Loaded | None:
        """Call `load` in the first process, for all; of a sharded state each process adds the shards, which it maps."""
        loaded: _Loaded | None = self.process_group.state_from_first(load)
        if loaded is None or not self.state.sharded:
            return loaded
        saved, summary, path = loaded
        return with_shards(saved, summary, path), summary, path

    def _continue_own(self, saved: dict[str, Any], summary: dict[str, Any], path: Path) -> Start:
        sealed, state = Sealed(path, summary), self.state
        _require_same_data(sealed, self.data)
        state.load_state_dict(local_state(saved, self.process_group), self.device)
        if state.step and state.carry is None:
            self.notify(f"{path} has no carry (save_carry=false): continuing with new rows, not bit-identically")
        before = sealed.config
        for key in ("load_checkpoint", "init_from"):
            if (file := getattr(self.config, key)) not in (None, getattr(before, key)):
                self.notify(f"{key}={file} is not used: {self.store.directory} has checkpoints of its own")
        return Start(state.step, path, any(one.resume == "replan" for one in differences(before, self.config)))

    def _start_from_another_run(self, saved: dict[str, Any], summary: dict[str, Any], path: Path) -> Start:
        """Continue the run of `load_checkpoint` exactly where data and settings allow it, else load weights alone."""
        saved, sealed, state = well_formed(saved, summary, path), Sealed(path, summary), self.state
        same_data = sealed.fingerprint == self.data.fingerprint
        why = "is where the run begins"
        if self.config.init_from is None:
            changed = _another_run(sealed, self.config)
            if same_data and not changed:
                self._require_fits(saved, path)
                state.load_state_dict(local_state(saved, self.process_group), self.device)
                return Start(state.step, path)
            why = f"was trained with another {', '.join(changed)}" if same_data else "was trained on other data"
        zero = self.config.puzzle_emb_init == "zero"
        # What does not move is what is evaluated: the average.
        frozen = self.config.freeze_weights
        known = state.load_weights(saved, same_rows=same_data, zero_rows=zero, averaged=frozen)
        self.notify(f"{from_here(path)} {why}: only its weights are loaded, and the run starts at step 0")
        rows = 0 if state.table is None else len(state.table)
        if rows and not same_data:
            others = "with zeros" if zero else "from the mean of all"
            self.notify(f"puzzle table: {known:,} of {rows:,} rows matched by name; the others start {others}")
        return Start(0, path)


def _another_run(before: Sealed, config: RunConfig) -> list[str]:
    """The keys by which `config` makes another run than the one that is sealed."""
    return [one.key for one in differences(before.config, config) if one.resume == "fatal"]


def _require_same_data(sealed: Sealed, data: Dataset) -> None:
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
