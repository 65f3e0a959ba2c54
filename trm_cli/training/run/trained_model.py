"""Load a trained model for inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.errors import ConfigError, DatasetError, first_line
from trm_cli.models.network import Network
from trm_cli.training.checkpoint.checkpoint_format import damaged
from trm_cli.training.run.build import make_model
from trm_cli.training.run.find_run import find_checkpoint
from trm_cli.training.run.readable_copies import Notify, check_copies
from trm_cli.training.run.sealed_config import Sealed, load_sealed
from trm_cli.training.state.state_form import require_weights_fit
from trm_cli.training.state.training_state import fitting


@dataclass(frozen=True)
class TrainedModel:
    """A model in evaluation mode, with what it was trained on."""

    model: Network
    config: RunConfig
    metadata: DatasetMetadata
    dataset_fingerprint: str
    checkpoint: Path
    step: int
    #: "ema" where the run averages its weights, else "raw".
    weights: str
    #: CPU threads of the run: another number may round the last bit of a sum another way.
    threads: int


def load_trained(
    named: str | None,
    device: torch.device,
    *,
    forward_dtype: str = "float32",
    raw: bool = False,
    notify: Notify = lambda _: None,
) -> TrainedModel:
    """Load the best (else the newest) checkpoint of a run, or the checkpoint file that is named.

    The averaged weights are used where the run has them, unless `raw`: those are what its evaluations scored.
    notify: hears what the readable copy of the configuration says otherwise.
    Raises CheckpointError for a missing or damaged checkpoint, and where that copy says something grave.
    """
    path = find_checkpoint(named)
    check_copies(path.parent, notify)
    found = load_file(path, forward_dtype=forward_dtype, raw=raw)
    return replace(found, model=found.model.to(device).eval())


def load_file(path: Path, *, forward_dtype: str = "float32", raw: bool = False) -> TrainedModel:
    """Load the model of a checkpoint file onto the CPU.

    Raises CheckpointError for a damaged one, and for one with a right checksum that holds no model.
    """
    state, sealed = load_sealed(path)
    model = _new_model(sealed, forward_dtype)
    averaged = state["ema"] is not None and not raw
    with fitting():
        model.load_state_dict({**state["model"], **state["ema"]} if averaged else state["model"])
    return TrainedModel(
        model=model,
        config=sealed.config,
        metadata=sealed.metadata,
        dataset_fingerprint=sealed.fingerprint,
        checkpoint=path,
        step=state["step"],
        weights="ema" if averaged else sealed.summary.get("weights", "raw"),
        threads=sealed.summary["threads"],
    )


def require_own_weights(state: Mapping[str, Any], sealed: Sealed) -> None:
    """Raise CheckpointError unless the weights of a state are those of the network that is sealed with them."""
    with torch.device("meta"):  # its shapes alone
        own = _new_model(sealed, "float32").state_dict()
    for weights in (state["model"], {**state["model"], **(state["ema"] or {})}):
        require_weights_fit(weights, own, sealed.checkpoint)


def _new_model(sealed: Sealed, forward_dtype: str) -> Network:
    try:
        return make_model(sealed.config, sealed.metadata, forward_dtype)
    except (DatasetError, ConfigError, MemoryError, RuntimeError) as error:
        reason = f"it does not say what it was trained on: {first_line(error)}"
        raise damaged(sealed.checkpoint, reason) from error
