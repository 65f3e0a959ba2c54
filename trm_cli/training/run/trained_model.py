"""A trained model, taken out of a run to be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trm_cli.config.compose import load_run_config
from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata, parse_metadata
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_file import load_checkpoint
from trm_cli.training.checkpoint.migration import migrate
from trm_cli.training.checkpoint.store import BEST, LATEST, CheckpointStore
from trm_cli.training.run.find_run import find_run
from trm_cli.training.run.session import make_model


@dataclass(frozen=True)
class TrainedModel:
    """A model in evaluation mode, with what it was trained on."""

    model: nn.Module
    config: RunConfig
    metadata: DatasetMetadata
    dataset_fingerprint: str
    checkpoint: Path
    step: int
    #: "ema" where the run averages its weights, else "raw".
    weights: str


def load_trained(
    named: str | None, device: torch.device, *, forward_dtype: str = "float32", raw: bool = False
) -> TrainedModel:
    """Load the best (else the newest whole) checkpoint of a run, or the checkpoint file that is named.

    The averaged weights are used where the run has them, unless `raw`: those are what its evaluations scored.
    Raises CheckpointError when nothing whole is there.
    """
    path = find_checkpoint(named)
    state, summary = load_checkpoint(path)
    state = migrate(state)
    config = load_run_config(find_run(str(path))).config
    try:
        dataset = dict(summary["dataset"])
        metadata = parse_metadata(dataset["metadata"], str(path))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} does not say what it was trained on") from error
    model = make_model(config, metadata, forward_dtype)
    averaged = state["ema"] is not None and not raw
    model.load_state_dict(_weights(state) if averaged else state["model"])
    return TrainedModel(
        model=model.to(device).eval(),
        config=config,
        metadata=metadata,
        dataset_fingerprint=dataset["fingerprint"],
        checkpoint=path,
        step=state["step"],
        weights="ema" if averaged else "raw",
    )


def find_checkpoint(named: str | None) -> Path:
    """The file that is named, or the best (else the newest) checkpoint of a run. Raises CheckpointError."""
    if named is not None and Path(named).suffix == ".pt":
        path = Path(named)
        if not path.exists():
            raise CheckpointError(f"{path} does not exist")
        return path.resolve()
    run = find_run(named)
    store = CheckpointStore(run)
    for link in (BEST, LATEST):
        if (run / link).exists():
            return (run / link).resolve()
    steps = store.steps()
    if not steps:
        raise CheckpointError(f"{run} has no checkpoint yet", hint="`trm train` writes one at every evaluation")
    return store.path(steps[-1])


def _weights(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The model's tensors, with the averaged weights in the place of the raw ones."""
    return {**state["model"], **(state["ema"] or {})}
