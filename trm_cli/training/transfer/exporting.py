"""Export the weights of a checkpoint: as safetensors, or as a state dict of the original code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
from torch import Tensor

from trm_cli.config.schema import RunConfig
from trm_cli.data.arc.identifiers import read_identifiers
from trm_cli.data.files.durable import atomic_file
from trm_cli.errors import CheckpointError, TrmError, UsageError, writing
from trm_cli.training.checkpoint.exported_weights import PUZZLES, ROWS
from trm_cli.training.run.sealed_config import Sealed
from trm_cli.training.state.puzzle_table import TABLE
from trm_cli.training.transfer.weight_names import COMPILED, WRAPPERS, is_initial_state, original_name

Format = Literal["safetensors", "original", "onnx"]
_ORIGINAL_FAMILIES = ("trm", "hrm", "transformer")


@dataclass(frozen=True)
class Exported:
    """The file that was written. weights: "ema" or "raw"."""

    file: str
    format: str
    checkpoint: str
    step: int
    weights: str
    tensors: int
    bytes: int


def export_weights(
    state: dict[str, Any],
    sealed: Sealed,
    out: Path,
    form: Format,
    *,
    averaged: bool | None = None,
    compiled: bool = True,
) -> Exported:
    """Write the weights of a loaded checkpoint to `out`.

    averaged: the averaged weights or the raw ones; None: averaged where the run has them. compiled: put the prefix of
    torch.compile before original names, as that code saves and loads them.
    Raises CheckpointError, UsageError, and TrmError where the file cannot be written.
    """
    tensors, weights = _chosen_weights(state, sealed, averaged)
    if form == "original":
        tensors = original_layout(tensors, sealed.config, compiled=compiled)
        with _new_file(out) as file:
            torch.save(tensors, file)
    else:
        data = _with_names(state, tensors, _metadata(sealed.config, sealed.summary, weights))
        with _new_file(out) as file:
            file.write(data)
    where = str(sealed.checkpoint)
    return Exported(str(out), form, where, int(state["step"]), weights, len(tensors), out.stat().st_size)


def weights_file(state: dict[str, Any], sealed: Sealed, *, averaged: bool | None = None) -> tuple[bytes, str]:
    """The bytes of a safetensors file of a loaded checkpoint, and its weights: "ema" or "raw".

    averaged: as for `export_weights`. Raises CheckpointError.
    """
    tensors, weights = _chosen_weights(state, sealed, averaged)
    return _with_names(state, tensors, _metadata(sealed.config, sealed.summary, weights)), weights


def _with_names(state: dict[str, Any], tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """The weights as safetensors, with what the rows of their puzzle table stand for, where that is known."""
    named = state["identifiers"] if TABLE in tensors else None
    if named is None:
        return _safetensors(tensors, metadata)
    rows = {ROWS + key: named[key] for key in ("owners", "codes")}
    return _safetensors({**tensors, **rows}, {**metadata, PUZZLES: json.dumps(named["names"])})


def _chosen_weights(state: dict[str, Any], sealed: Sealed, averaged: bool | None) -> tuple[dict[str, Tensor], str]:
    """The tensors to write, and what they are; those of a file of weights are what they were there."""
    if averaged and state["ema"] is None:
        raise CheckpointError(
            f"{sealed.checkpoint} has no averaged weights: the run was trained with ema=false", hint="--raw"
        )
    use_average = state["ema"] is not None if averaged is None else averaged
    weights = "ema" if use_average else sealed.summary.get("weights", "raw")
    return {**state["model"], **(state["ema"] if use_average else {})}, weights


def write_identifiers(state: dict[str, Any], sealed: Sealed, out: Path) -> int:
    """Write the names of the table's rows as the original code's `identifiers.json`; returns how many.

    Raises CheckpointError where the run's dataset does not have one name for each row.
    """
    dataset = sealed.config.data_paths[0]
    names = read_identifiers(dataset)
    rows = len(state["model"][TABLE]) if TABLE in state["model"] else 0
    if rows != len(names):
        raise CheckpointError(
            f"the puzzle table of {sealed.checkpoint} has {rows:,} rows, {dataset} names {len(names):,} identifiers"
        )
    listed = [names.name(row) for row in range(rows)]
    with _new_file(out) as file:
        file.write((json.dumps(listed) + "\n").encode())
    return rows


@contextmanager
def _new_file(out: Path) -> Iterator[BinaryIO]:
    """Open a file that appears complete or not at all. Raises TrmError where it cannot be written."""
    with writing(out, instead="another file", error_class=TrmError):
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(out) as file:
            yield file


def original_layout(tensors: dict[str, Tensor], config: RunConfig, *, compiled: bool) -> dict[str, Tensor]:
    """Rename weights to the names of the original code. Raises UsageError for a network that it does not have.

    Initial states get the type that it computes in: bfloat16, or float32 where the run has precision=float32.
    """
    changed = any(getattr(config.arch, key, False) for key in ("neighbours", "pre_norm", "gate_norm"))
    places = getattr(config.arch, "pos_encodings", "rope") in ("board", "rope_2d")
    if config.arch.family not in _ORIGINAL_FAMILIES or changed or places:
        raise UsageError(
            f"the original code has no network like {config.arch.name}",
            hint="--format safetensors supports every network",
        )
    prefix = (COMPILED if compiled else "") + WRAPPERS
    state_type = torch.float32 if config.precision == "float32" else torch.bfloat16
    return {
        prefix + original_name(name): value.to(state_type) if is_initial_state(name) else value
        for name, value in tensors.items()
    }


def _metadata(config: RunConfig, summary: dict[str, Any], weights: str) -> dict[str, str]:
    """The metadata that using the weights needs: strings only, as the format requires."""
    return {
        "format": "pt",
        "weights": weights,
        "step": str(summary["step"]),
        "run": str(summary["run"]),
        "trm": str(summary["trm"]),
        "threads": str(summary["threads"]),
        "architecture": config.arch.model_dump_json(),
        "config": str(summary["config"]),
        "dataset": json.dumps(summary["dataset"]),
    }


def _safetensors(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Serialise tensors. One that two names share is written once; `tied` in the metadata maps the other name to it."""
    from safetensors.torch import save

    kept: dict[str, Tensor] = {}
    first: dict[tuple[int, ...], str] = {}
    tied: dict[str, str] = {}
    for name, value in tensors.items():
        place = (value.untyped_storage().data_ptr(), int(value.storage_offset()), *value.shape)
        if value.numel() and place in first:
            tied[name] = first[place]
        else:
            first[place] = name
            kept[name] = value.contiguous()
    data: bytes = save(kept, metadata={**metadata, "tied": json.dumps(tied)})
    return data
