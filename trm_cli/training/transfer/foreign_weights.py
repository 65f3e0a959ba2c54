"""Read a file of weights of another program, and translate their names to ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm_cli.data.files.regular_file import open_regular, require_regular
from trm_cli.errors import CheckpointError, first_line
from trm_cli.training.checkpoint.exported_weights import ROWS
from trm_cli.training.checkpoint.pointers import follow
from trm_cli.training.transfer.weight_names import bare_name, is_derived, is_initial_state, our_name, with_both_outputs

#: Under these keys a file may hold its weights beside other things.
_HOLDERS = ("model", "state_dict", "model_state_dict", "network")


@dataclass(frozen=True)
class ForeignWeights:
    """Weights in float32 under our names.

    precision: "float32" where the initial states are stored in it: the original code stores them in the type that it
    computes in; "auto" otherwise. original: whether any name was translated.
    """

    path: Path
    tensors: dict[str, Tensor]
    precision: str
    original: bool


def read_weights(path: Path) -> ForeignWeights:
    """Read a state dict of the original code (compiled or not, wrapped or not), nano-trm or `trm` onto the CPU.

    A checkpoint of `trm` gives its averaged weights where it has them. Nothing in the file is executed.
    Raises CheckpointError.
    """
    loaded = _load_safetensors(path) if path.suffix == ".safetensors" else _load_torch(path)
    named = _state_dict(loaded, path)
    tensors: dict[str, Tensor] = {}
    original, precision = False, "auto"
    for name, value in named.items():
        bare = bare_name(name)
        if is_derived(bare) or bare.startswith(ROWS):
            continue
        ours = our_name(bare)
        if ours in tensors:
            raise CheckpointError(f"{path} holds {ours} twice: under {name} and under another name")
        if value.layout != torch.strided or value.is_quantized:
            raise CheckpointError(f"{path}: {name} is a sparse or quantised tensor, expected a dense one")
        if not value.is_floating_point():
            raise CheckpointError(f"{path}: {name} holds {value.dtype}, expected numbers of a floating type")
        if is_initial_state(ours) and value.dtype == torch.float32:
            precision = "float32"
        tensors[ours] = with_both_outputs(ours, value.to(torch.float32))
        original |= ours != bare
        if not bool(torch.isfinite(tensors[ours]).all()):
            raise CheckpointError(f"{path}: {name} holds values that are not finite", hint="use an earlier checkpoint")
    return ForeignWeights(path, tensors, precision if original else "auto", original)


def _load_torch(path: Path) -> Any:
    try:
        with open_regular(follow(path)) as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch raises half a dozen unrelated classes for files that it refuses
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} is refused by torch: {reason}",
            hint="expected a state dict of tensors, as `torch.save(model.state_dict(), FILE)` writes it",
        ) from error


def _load_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    from trm_cli.data.files.json_file import parse_json

    try:
        require_regular(path)
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
            tied = parse_json((file.metadata() or {}).get("tied", "{}"), str(path), error=CheckpointError)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise CheckpointError(f"{path} cannot be read: {reason}") from error
    if not isinstance(tied, dict) or not all(isinstance(kept, str) for kept in tied.values()):
        raise CheckpointError(f"{path} is damaged: its list of tied weights cannot be read")
    return {**tensors, **{name: tensors[kept] for name, kept in tied.items() if kept in tensors}}


def _state_dict(loaded: Any, path: Path) -> Mapping[str, Tensor]:
    """The mapping of tensors in what a file holds. Raises CheckpointError naming what it holds instead."""
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path} holds a {type(loaded).__name__}, expected a state dict: names and tensors")
    for key in _HOLDERS:
        if isinstance(loaded.get(key), Mapping):
            averaged = loaded.get("ema")
            loaded = {**loaded[key], **(averaged if isinstance(averaged, Mapping) else {})}
            break
    named: dict[str, Tensor] = dict(loaded)
    if unnamed := [name for name in named if not isinstance(name, str)]:
        raise CheckpointError(f"{path} holds no state dict: {unnamed[0]!r} is not a weight's name; expected strings")
    strange = [name for name, value in named.items() if not isinstance(value, Tensor)]
    if strange or not named:
        found = ", ".join(strange[:5]) or "nothing"
        raise CheckpointError(
            f"{path} holds no state dict: {found} {'is' if len(strange) < 2 else 'are'} no tensor",
            hint="save the weights alone: torch.save(model.state_dict(), FILE)",
        )
    return named
