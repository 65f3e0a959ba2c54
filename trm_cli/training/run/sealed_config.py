"""The configuration and the plan that were sealed with the weights of a run: what every reader of the run uses.

Each checkpoint holds both under its checksum. `config.yaml` and `plan.json` beside them are copies for people, which
`readable_copies` compares with what is sealed. A run without a checkpoint has nothing but its `config.yaml`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from trm_cli.config.compose import Resolved, load_run_config, read_run_config
from trm_cli.config.make_plan import make_plan
from trm_cli.config.schema import RunConfig
from trm_cli.data.files.json_file import read_json
from trm_cli.data.files.metadata import DatasetMetadata, parse_metadata
from trm_cli.errors import CheckpointError, ConfigError, DatasetError, UsageError, reading
from trm_cli.paths import exists
from trm_cli.schedule.plan import DatasetCounts, TrainingPlan
from trm_cli.training.checkpoint.checkpoint_format import damaged, read_file_summary, verify_file
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.run_files import PLAN, read_identity
from trm_cli.training.state.state_form import well_formed

# The first form of the capsule network had this key; the second has other weights and reads other data.
_FIRST_FORM = re.compile(r"^\s+canvas_size\s*:", re.MULTILINE)
_LAST_TO_READ_IT = "0.1"


def sealed_config(summary: dict[str, Any], checkpoint: Path, overrides: Sequence[str] = ()) -> Resolved:
    """The configuration in the summary of a checkpoint, changed by `overrides`.

    Raises CheckpointError where there is none that this version reads, ConfigError for wrong overrides.
    """
    text = summary.get("config")
    if not isinstance(text, str):
        raise damaged(checkpoint, "it does not say with which settings it was trained")
    try:
        return read_run_config(text, str(checkpoint), overrides)
    except ConfigError as error:
        if overrides:
            sealed_config(summary, checkpoint)  # where this is fine, the overrides are wrong
            raise
        if _FIRST_FORM.search(text):
            raise CheckpointError(
                f"{checkpoint} holds the first form of multimodal_hesc, which read a canvas; trm "
                f"{_LAST_TO_READ_IT} is the last version that reads it",
                hint="train the second form on a dataset that is built again, or use that version",
            ) from error
        message = f"the configuration in {checkpoint} is not one of this version: {error.problems[0].message}"
        raise CheckpointError(message) from error


@dataclass(frozen=True)
class Sealed:
    """A valid checkpoint and its summary."""

    checkpoint: Path
    summary: dict[str, Any]

    @cached_property
    def config(self) -> RunConfig:
        """The sealed configuration. Raises CheckpointError."""
        return sealed_config(self.summary, self.checkpoint).config

    @property
    def step(self) -> int:
        """The updates that it has seen. Raises CheckpointError."""
        step = self.summary.get("step")
        if type(step) is not int or step < 0:
            raise damaged(self.checkpoint, "it does not say how many updates it has seen")
        return step

    @property
    def fingerprint(self) -> str:
        """Which data it was trained on. Raises CheckpointError."""
        with self._telling_its_data():
            return str(self.summary["dataset"]["fingerprint"])

    @property
    def metadata(self) -> DatasetMetadata:
        """The metadata of that data. Raises CheckpointError."""
        with self._telling_its_data():
            return parse_metadata(self.summary["dataset"]["metadata"], str(self.checkpoint))

    def plan(self, stored: TrainingPlan | None) -> TrainingPlan:
        """The sealed plan: `stored` where it is that one, else planned again from what is sealed.

        Raises CheckpointError.
        """
        sealed = self.summary.get("plan")
        if stored is not None and stored.fingerprint() == sealed:
            return stored
        config, metadata = self.config, self.metadata
        counts = DatasetCounts(metadata.total_groups, metadata.mean_puzzle_examples, f"sealed in {self.checkpoint}")
        with self._telling_its_data():
            plans = [make_plan(config, counts, test_split=test_split) for test_split in (True, False)]
        return next((plan for plan in plans if plan.fingerprint() == sealed), plans[0])

    @contextmanager
    def _telling_its_data(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, DatasetError) as error:
            raise damaged(self.checkpoint, "it does not say what it was trained on") from error


def load_sealed(path: Path) -> tuple[dict[str, Any], Sealed]:
    """The state of a checkpoint, in the present format, and what is sealed with it. Raises CheckpointError."""
    state, summary = load_checkpoint(path)
    return well_formed(state, summary, path), Sealed(path, summary)


def newest_sealed(run: Path, *, verified: bool = True) -> Sealed | None:
    """The newest valid checkpoint of a run; None where it has no checkpoint.

    verified: read every byte of it. Raises CheckpointError where there are checkpoints and none of them is valid.
    """
    own = None
    with suppress(CheckpointError):
        own = read_identity(run)["run"]
    store = CheckpointStore(run, run=own)
    refused = None
    for number in reversed(store.steps()):
        path = store.path(number)
        try:
            summary = _verified(path) if verified else read_file_summary(path)
            store.require_own(path, number, summary)
            found = Sealed(path, summary)
            _ = (found.config, found.fingerprint)  # it can have a right checksum and lack what it should say
        except CheckpointError as error:
            if not os.path.lexists(path):  # a run that trains has deleted it, after it wrote a newer one
                return newest_sealed(run, verified=verified)
            refused = refused or error
            continue
        return found
    if refused is not None:
        hint = "restore one from a backup, or restart with `trm train --fresh`"
        raise CheckpointError(f"no valid checkpoint in {run}: {refused.message}", hint=hint) from refused
    return None


def _verified(path: Path) -> dict[str, Any]:
    """The summary of a file whose every byte is verified, once in a process."""
    with reading(path):
        stat = path.stat()
    return _verified_as(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache
def _verified_as(path: Path, *_identity: int) -> dict[str, Any]:
    return verify_file(path)


def load_run(run: Path, overrides: Sequence[str] = ()) -> Resolved:
    """The configuration of a run as it was sealed, changed by `overrides`. Raises CheckpointError and ConfigError."""
    newest = newest_sealed(run)
    if newest is None:
        return load_run_config(run, overrides)
    return sealed_config(newest.summary, newest.checkpoint, overrides)


def load_run_plan(run: Path) -> TrainingPlan | None:
    """The plan of a run as it was sealed; without a checkpoint that of plan.json, None where that is not valid."""
    stored = stored_plan(run)
    newest = newest_sealed(run)
    return stored if newest is None else newest.plan(stored)


def stored_plan(run: Path) -> TrainingPlan | None:
    """The plan in plan.json, None where it is not valid."""
    with suppress(UsageError):
        return read_plan(run)
    return None


def read_plan(run: Path) -> TrainingPlan:
    """The plan in plan.json. Raises UsageError where there is none, or none that can be used."""
    path, hint = run / PLAN, "name the model instead of the run"
    if not exists(path):
        raise UsageError(f"{run} holds no run: {PLAN} is missing", hint="name a model, a YAML file or a run directory")
    document = read_json(path, error=UsageError, hint=hint)
    try:
        if not isinstance(document, dict):
            raise ValueError(f"it holds {type(document).__name__}, not an object")
        return TrainingPlan.from_json(document)
    except ValueError as error:
        raise UsageError(f"{path} cannot be used: {error}", hint=hint) from error
