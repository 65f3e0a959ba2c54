"""The carry: the state that is passed from one supervision step to the next.

A row of the batch keeps its puzzle for several steps. Each step refines the carried states; a row that halted gives its
place to the incoming row of the next call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map


@dataclass(frozen=True)
class Carry:
    """The state between supervision steps, from which a run continues exactly.

    z: states [B, L, D] by name. steps: int32 [B], steps done on the present puzzle. halted: bool [B], True where the
    next call takes the incoming row. data: the batch fields that the rows are working on, [B, ...] each. extra: what a
    family adds, [B, ...] each.
    """

    z: dict[str, Tensor]
    steps: Tensor
    halted: Tensor
    data: dict[str, Tensor]
    extra: dict[str, Tensor] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Plain nested dicts of tensors, of which `Carry(**state)` is one again."""
        return dict(vars(self))

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Carry:
        """A copy on another device, with states of another type: a run may continue in another precision."""
        moved = self._each(lambda value: value.to(device))
        return replace(moved, z={name: value.to(dtype) for name, value in moved.z.items()})

    def rows(self, part: slice | Tensor) -> Carry:
        """Some of the rows: a slice as views, or those of an int64 index [b]."""
        return self._each(lambda value: value[part])

    def unsound(self) -> Tensor:
        """Which rows hold a number that is not finite, bool [B]."""
        found = torch.zeros_like(self.halted)
        for value in (*self.z.values(), *self.extra.values()):
            found = found | ~value.isfinite().reshape(value.shape[0], -1).all(1)
        return found

    def restarted(self, rows: Tensor) -> Carry:
        """The same, but where `rows` bool [B] is true a row holds zeros and has halted: it takes the next puzzle."""

        def cleared(values: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: value.masked_fill(_rows(rows, value), 0) for name, value in values.items()}

        return replace(self, z=cleared(self.z), extra=cleared(self.extra), halted=self.halted | rows)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Carry:
        return Carry(**tree_map(change, self.state_dict()))


def join_carries(parts: Sequence[Carry]) -> Carry:
    """One carry of all the rows, in order; the inverse of `Carry.rows`."""
    if len(parts) == 1:
        return parts[0]
    return Carry(**tree_map(lambda *rows: torch.cat(rows), *(part.state_dict() for part in parts)))


def empty_carry(batch: Mapping[str, Tensor], z: dict[str, Tensor]) -> Carry:
    """All rows halted, so that the first step fills every one of them. z holds zeros [B, L, D]."""
    rows = next(iter(batch.values()))
    return Carry(
        z=z,
        steps=torch.zeros(rows.shape[0], dtype=torch.int32, device=rows.device),
        halted=torch.ones(rows.shape[0], dtype=torch.bool, device=rows.device),
        data={name: torch.zeros_like(value) for name, value in batch.items()},
    )


def refresh(carry: Carry, batch: Mapping[str, Tensor], initial: Mapping[str, Tensor]) -> Carry:
    """Halted rows take the incoming row and the initial states (`initial`: [D] by name); the others stay as they are.

    The incoming row of a slot that continues is not used, as in the published training. Raises ValueError when the
    batch has other fields, or another number of rows, than the carry.
    """
    if batch.keys() != carry.data.keys():
        raise ValueError(
            f"The batch has the fields {sorted(batch)} and the carried rows have {sorted(carry.data)}: "
            "start from initial_carry(batch)."
        )
    halted = carry.halted
    for name, value in batch.items():
        if value.shape != carry.data[name].shape:
            raise ValueError(
                f"The batch field {name!r} has the shape {tuple(value.shape)} and the carried one "
                f"{tuple(carry.data[name].shape)}: start from initial_carry(batch)."
            )
    return replace(
        carry,
        z={name: torch.where(halted[:, None, None], initial[name].to(z.dtype), z) for name, z in carry.z.items()},
        steps=carry.steps.masked_fill(halted, 0),
        data={name: torch.where(_rows(halted, value), value, carry.data[name]) for name, value in batch.items()},
    )


def _rows(mask: Tensor, like: Tensor) -> Tensor:
    """Mask [B] with as many trailing axes of length 1 as `like` has."""
    return mask.view(-1, *(1 for _ in range(like.ndim - 1)))
