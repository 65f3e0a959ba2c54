"""Sums of metrics since the last logged record: one vector on the device, whatever the number of metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor


class RunningSums(Mapping[str, Tensor]):
    """Named float32 sums. An update adds a vector [M] to them: one kernel, where one a metric would be dozens."""

    def __init__(self, sums: Mapping[str, Tensor] | None = None) -> None:
        sums = sums or {}
        self.names: tuple[str, ...] = tuple(sums)
        self._values = stacked(tuple(sums.values())) if sums else None

    def add(self, names: Sequence[str], values: Tensor) -> None:
        """Add `values` float [M], a number to each of `names`; a name that is new begins with 0."""
        if self._values is None:
            self.names, self._values = tuple(names), values
        elif self.names == tuple(names):
            self._values = self._values + values
        else:
            mine, added = dict(self), dict(zip(names, values.unbind(), strict=True))
            both = {name: sum_of(mine.get(name), added.get(name)) for name in (*mine, *added)}
            self.names, self._values = tuple(both), stacked(tuple(both.values()))

    def numbers(self) -> dict[str, float]:
        """The sums as numbers. Waits for the device: one transfer."""
        return {} if self._values is None else dict(zip(self.names, self._values.tolist(), strict=True))

    def vector(self) -> Tensor:
        """All of them, float32 [M]."""
        return torch.empty(0) if self._values is None else self._values

    def __getitem__(self, name: str) -> Tensor:
        """One of them, 0-dim; a copy. Raises KeyError."""
        if self._values is None or name not in self.names:
            raise KeyError(name)
        return self._values[self.names.index(name)].clone()

    def __iter__(self) -> Iterator[str]:
        """The names in their order."""
        return iter(self.names)

    def __len__(self) -> int:
        """How many."""
        return len(self.names)


def stacked(values: Sequence[Tensor]) -> Tensor:
    """0-dim tensors as float32 [M], without their graphs."""
    return torch.stack([value.detach().float() for value in values])


def sum_of(left: Tensor | None, right: Tensor | None) -> Tensor:
    """The sum of those that are there; one is."""
    if left is None or right is None:
        present = right if left is None else left
        assert present is not None
        return present
    return left + right
