"""The processes of a run as one of them sees them; this one is alone, and every exchange with the others does nothing.

The loop has one path: it asks its peers at the same places whether there are any or not. Exchanges are of two kinds.
Numbers and objects (`total`, `largest`, `from_first`) travel between processors and cost a round trip; tensors (`sum_`,
`gather`) travel between the devices that hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trm_cli.training.distributed.rows import own_rows

if TYPE_CHECKING:
    from torch import Tensor


class ProcessGroup:
    """A run in one process, and what a run in several offers."""

    rank = 0
    count = 1
    #: Processes on this machine: they share its processors.
    local_count = 1

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def rows(self, total: int) -> slice:
        """The rows of a batch of `total` that this process computes."""
        return own_rows(total, self.rank, self.count)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, which must pass the same shapes."""
        del tensors

    def gather(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The rows of all processes in their order: [b, ...] each -> [sum of b, ...]; the same b everywhere."""
        return list(tensors)

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Sums of numbers over all processes, in float64."""
        return list(numbers)

    def largest(self, numbers: Sequence[int]) -> list[int]:
        """The largest of each number over all processes: how they agree on flags."""
        return list(numbers)

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What `make` returns in the first process, for all; the others wait, however long it takes."""
        return make()

    def state_from_first(self, make: Callable[[], Any]) -> Any:
        """As `from_first`, for nested dicts with large tensors: these are sent one by one, without being pickled."""
        return make()


#: A run in one process.
SINGLE_PROCESS = ProcessGroup()
