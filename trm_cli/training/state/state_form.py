"""Check the form of a saved state. Its seal says that it is unchanged, not that a training run has written it.

`require_state_form` needs no model: every reader of a checkpoint calls it. `require_state_fits` compares with the state
of a run that is to continue, so that no update begins on tensors of another shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from trm_cli.errors import CheckpointError
from trm_cli.training.distributed.tensor_shards import TensorShards
from trm_cli.training.state.state_migration import migrate

if TYPE_CHECKING:
    from torch import Tensor

    from trm_cli.training.state.training_state import TrainingState

_COUNTS = ("step", "evaluated_step", "best_step", "skipped", "skipped_in_a_row")
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
_SHOWN = 40


def require_state_form(state: Mapping[str, Any], where: object) -> None:
    """Raise CheckpointError, naming `where`, unless this is a state (assembled, or with `TensorShards`) in format 2."""
    problem = next(chain(_in_counts(state), _in_groups(state), _in_identifiers(state.get("identifiers"))), None)
    if problem is not None:
        raise _malformed(where, problem)


def require_state_fits(
    saved: Mapping[str, Any], state: TrainingState, *, batch: Mapping[str, Tensor], rows: int, where: object
) -> None:
    """Raise CheckpointError unless `state` can continue from `saved`, a well-formed state.

    batch: one row with the fields of the run's data. rows: of the global batch, of all processes together.
    """
    problems = chain(
        _other_tensors("model", saved["model"], state.model.state_dict()),
        () if state.ema is None else _other_tensors("ema", saved["ema"], state.ema.state_dict()),
        _in_optimizer(saved["trunk_optimizer"], state),
        _in_scaler(saved["scaler"], state),
        _in_carry(saved["carry"], state, batch, rows),
    )
    problem = next(problems, None)
    if problem is not None:
        raise _malformed(where, problem)


def require_weights_fit(saved: Mapping[str, Any], own: Mapping[str, Any], where: object) -> None:
    """Raise CheckpointError unless weights by name have the names and shapes of `own`."""
    problem = next(_other_tensors("model", saved, own), None)
    if problem is not None:
        raise _malformed(where, problem)


def well_formed(state: dict[str, Any], summary: Mapping[str, Any], where: object) -> dict[str, Any]:
    """The state of a checkpoint in the present format.

    Raises CheckpointError, naming `where`, for what is no state, and where the summary lacks what it should say.
    """
    problem = next(_in_summary(summary), None)
    if problem is not None:
        raise _malformed(where, problem)
    state = migrate(state)
    require_state_form(state, where)
    return state


def _malformed(where: object, problem: str) -> CheckpointError:
    return CheckpointError(
        f"{where} has a right checksum and wrong content: {problem}",
        hint="`trm checkpoints list RUN` lists the others; a run continues from the newest that can be used",
    )


def _in_summary(summary: Mapping[str, Any]) -> Iterator[str]:
    if type(summary.get("step")) is not int:
        yield f"`step` of its summary is {_short(summary.get('step'))}, expected a whole number"
    for name in ("run", "config", "trm"):
        if not isinstance(summary.get(name), str):
            yield f"`{name}` of its summary is {_short(summary.get(name))}, expected a text"
    threads, dataset = summary.get("threads"), summary.get("dataset")
    if type(threads) is not int or threads < 1:
        yield f"`threads` of its summary is {_short(threads)}, expected a number"
    if not isinstance(dataset, dict) or not isinstance(dataset.get("fingerprint"), str):
        yield f"`dataset` of its summary is {_short(dataset)}, expected a fingerprint and what the data is"
    elif not isinstance(dataset.get("metadata"), dict):
        yield f"`dataset.metadata` of its summary is {_short(dataset.get('metadata'))}"


def _in_counts(state: Mapping[str, Any]) -> Iterator[str]:
    for name in _COUNTS:
        if type(state.get(name)) is not int or state[name] < 0:
            yield f"`{name}` is {_short(state.get(name))}, expected a whole number"
    for name in ("evaluated_step", "best_step"):
        if state[name] > state["step"]:
            yield f"`{name}` is {state[name]}, after step {state['step']}"
    score = state.get("best_score")
    if type(score) not in (int, float) or not math.isfinite(score):  # type: ignore[arg-type]
        yield f"`best_score` is {_short(score)}, expected a number"


def _in_groups(state: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"it has no `{name}`" for name in ("ema", "scaler", "carry", "identifiers") if name not in state)
    for name, may_be_missing, may_be_empty in (("model", False, False), ("ema", True, False), ("sums", False, True)):
        value = state.get(name)
        if value is None and may_be_missing:
            continue
        if not isinstance(value, dict) or not (value or may_be_empty):
            yield f"`{name}` is {_short(value)}, expected tensors by name"
            continue
        yield from (
            f"`{name}.{_short(key)}` is {_short(item)}, expected a tensor"
            for key, item in value.items()
            if not isinstance(key, str) or not _is_tensor(item) or _stores_less_than_it_shows(item)
        )
    unknown = [name for name in state["ema"] or () if name not in state["model"]]
    if unknown:
        yield f"`ema.{_short(unknown[0])}` averages no weight of `model`"
    for name in ("scaler", "carry"):
        if state.get(name) is not None and not isinstance(state[name], dict):
            yield f"`{name}` is {_short(state[name])}"
    if any(not value.shape.numel() or _kind(value) != "float" for value in state["sums"].values()):
        yield "`sums` holds what is no sum"
    if not isinstance(state.get("trunk_optimizer"), dict):
        yield f"`trunk_optimizer` is {_short(state.get('trunk_optimizer'))}"


def _in_identifiers(value: Any) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, dict) or not {"names", "owners", "codes"} <= value.keys():
        yield f"`identifiers` is {_short(value)}"
        return
    names, owners, codes = value["names"], value["owners"], value["codes"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        yield "`identifiers.names` is no list of names"
    elif not all(_is_tensor(one) and _kind(one) == "int" and len(one.shape) == 1 for one in (owners, codes)):
        yield "`identifiers` has no owner and code for each row"
    elif len(owners) != len(codes):
        yield f"`identifiers` has {len(owners)} owners and {len(codes)} codes"
    elif not _is_within(owners, -1, len(names)):
        yield "`identifiers.owners` names no puzzle"


def _other_tensors(name: str, saved: Any, own: Mapping[str, Any]) -> Iterator[str]:
    """Where tensors by name differ from `own` in names, shapes, or what kind of number they hold."""
    if not isinstance(saved, dict):
        yield f"`{name}` is {_short(saved)}, expected tensors by name"
        return
    yield from (f"`{name}` has no {key}" for key in own if key not in saved)
    yield from (f"`{name}` has {_short(key)}, which is unknown here" for key in saved if key not in own)
    for key, value in own.items():
        found: Any = saved.get(key)
        if not _is_tensor(found):
            yield f"`{name}.{key}` is {_short(found)}, expected a tensor"
        elif found.shape != value.shape:
            yield f"`{name}.{key}` has the shape {list(found.shape)}, expected {list(value.shape)}"
        elif _kind(found) != _kind(value):
            yield f"`{name}.{key}` holds {found.dtype}, expected {value.dtype}"


def _in_optimizer(saved: Mapping[str, Any], state: TrainingState) -> Iterator[str]:
    moments, groups = saved.get("state"), saved.get("param_groups")
    own = [group["params"] for group in state.trunk_optimizer.state_dict()["param_groups"]]
    if not isinstance(moments, dict) or not isinstance(groups, list):
        yield "`trunk_optimizer` has no moments or no groups"
        return
    if [_listed(group) for group in groups] != own:
        yield "`trunk_optimizer` has other groups of parameters"
        return
    parameters = state.trunk_parameters()
    for number, entry in moments.items():
        name = f"trunk_optimizer.state.{_short(number)}"
        if number not in range(len(parameters)) or not isinstance(entry, dict) or entry.keys() != _MOMENTS:
            yield f"`{name}` is {_short(entry)}"
            continue
        own_moments = dict.fromkeys(("exp_avg", "exp_avg_sq"), parameters[number])
        yield from _other_tensors(name, {key: entry[key] for key in own_moments}, own_moments)
        count = entry["step"]
        is_number = type(count) in (int, float) or (_is_tensor(count) and count.shape.numel() == 1)
        if not is_number or not 1 <= float(count) < math.inf:
            yield f"`{name}.step` is {_short(count)}, expected the number of updates"


def _in_scaler(saved: Any, state: TrainingState) -> Iterator[str]:
    if state.scaler is None or not saved:
        return
    for name in state.scaler.state_dict():
        value = saved.get(name)
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            yield f"`scaler.{name}` is {_short(value)}, expected a number"


def _in_carry(saved: Any, state: TrainingState, batch: Mapping[str, Tensor], rows: int) -> Iterator[str]:
    from trm_cli.models.hesc.rows.kinds import COLOURS, Kind
    from trm_cli.models.supervision.losses import IGNORED_LABEL

    if saved is None:
        return
    expected = state.model.initial_carry(batch).state_dict()
    if saved.keys() != expected.keys():
        yield f"`carry` is {_short(saved)}"
        return
    for group, value in expected.items():
        own = value if isinstance(value, dict) else {group: value}
        theirs = saved[group] if isinstance(value, dict) else {group: saved[group]}
        meant = {name: one.expand(rows, *one.shape[1:]) for name, one in own.items()}
        yield from _other_tensors(f"carry.{group}", theirs, meant)
    table, words, labels = state.table, state.model.vocab_size, state.model.label_field
    limits = {"puzzle_identifiers": None if table is None else len(table), "kind": len(Kind), "cells": 1 + COLOURS}
    for name, limit in {**limits, "inputs": words, "text": words, labels: words}.items():
        if limit is None or name not in saved["data"]:
            continue
        numbers = saved["data"][name]
        if name == labels:
            numbers = numbers[:]  # of shards in files the rows are read here
            numbers = numbers[numbers != IGNORED_LABEL]
        if not _is_within(numbers, 0, limit):
            yield f"`carry.data.{name}` holds numbers outside 0 .. {limit - 1}"
    if not _is_within(saved["steps"], 0, state.model.halt_max_steps + 1):
        yield f"`carry.steps` holds numbers outside 0 .. {state.model.halt_max_steps}"


def _listed(group: Any) -> list[int] | None:
    """The numbers of the parameters in a group of an optimizer; None where it lists none."""
    numbers = group.get("params") if isinstance(group, dict) else None
    return numbers if isinstance(numbers, list) and all(type(number) is int for number in numbers) else None


def _stores_less_than_it_shows(value: Any) -> bool:
    """A few numbers that are repeated, which a copy would have to write out: no weight is saved like this."""
    from torch import Tensor

    return isinstance(value, Tensor) and value.numel() * value.element_size() > value.untyped_storage().nbytes()


def _is_tensor(value: Any) -> bool:
    from torch import Tensor, strided

    # Others (sparse, nested, quantised, without contents) are in no state of ours, and do not load as these do.
    return isinstance(value, TensorShards) or (
        isinstance(value, Tensor) and value.layout is strided and not value.is_meta and not value.is_quantized
    )


def _kind(tensor: Any) -> str:
    """What kind of number a tensor holds: types of one kind are converted when they are loaded."""
    import torch

    if tensor.dtype is torch.bool:
        return "bool"
    return "complex" if tensor.dtype.is_complex else "float" if tensor.dtype.is_floating_point else "int"


def _is_within(tensor: Any, low: int, high: int) -> bool:
    """Whether all numbers of a tensor [N, ...] lie in low .. high-1."""
    numbers = tensor[:]
    return bool(((numbers >= low) & (numbers < high)).all())


def _short(value: Any) -> str:
    """A value for a message, on one line."""
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)}" if value else "empty"
    if _is_tensor(value):
        return f"a tensor {list(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
