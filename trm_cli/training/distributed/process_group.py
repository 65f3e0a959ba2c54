"""The processes of a run and what they exchange. The base class is a run in one process, where exchanges do nothing.

The loop has one path: it calls the process group at the same places, whatever the number of processes. Exchanges are of
two kinds. Numbers and objects (`total`, `largest`, `from_first`) travel between CPUs and cost a round trip; tensors
(`sum_`, `gather`) travel between the devices that hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trm_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


class ProcessGroup:
    """A run in one process; `TorchProcessGroup` is one of several."""

    rank = 0
    count = 1
    #: Processes on this machine: they share its processors.
    local_count = 1

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which prints and writes for all."""
        return self.rank == 0

    def rows(self, total: int) -> slice:
        """The rows of a batch of `total` that this process computes."""
        return own_rows(total, self.rank, self.count)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, which must pass the same shapes."""
        del tensors

    def begin_sum(self, tensor: Tensor) -> Callable[[], None]:
        """Begin to replace a tensor by its sum over all processes; the function that is returned waits for it.

        Sums that are begun are apart from all other exchanges, which may come between.
        """
        del tensor
        return lambda: None

    def gather(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The rows of all processes in their order: [b, ...] each -> [sum of b, ...]; the same b everywhere."""
        return list(tensors)

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Sums of numbers over all processes, in float64."""
        return list(numbers)

    def largest(self, numbers: Sequence[int]) -> list[int]:
        """The maximum of each number over all processes: how they agree on flags."""
        return list(numbers)

    def from_first(self, make: Callable[[], Any]) -> Any:
        """Call `make` in the first process and return its result in all; the others wait, however long it takes."""
        return make()

    def state_from_first(self, make: Callable[[], Any]) -> Any:
        """As `from_first`, for nested dicts with large tensors: these are sent one by one, without being pickled."""
        return make()


#: A run in one process.
SINGLE_PROCESS = ProcessGroup()


def on_first_rank(make: Callable[[], Any], process_group: ProcessGroup) -> Any:
    """Call `make` in the first process and return its result in all; an OSError there is raised in all of them."""

    def attempt() -> Any:
        try:
            return make(), None
        except OSError as error:
            return None, (error.errno, error.strerror or str(error))

    made, failure = process_group.from_first(attempt)
    if failure is not None:
        raise OSError(*failure)
    return made


def own_rows(total: int, rank: int, count: int) -> slice:
    """The rows of process `rank` of `count`: contiguous, in the order of the ranks, all of them together `total`."""
    return slice(rank * total // count, (rank + 1) * total // count)


def check_divides(global_batch_size: int, count: int) -> None:
    """Raise UsageError where `count` processes cannot share the batch evenly, naming the nearest counts that can."""
    if global_batch_size % count == 0:
        return
    fitting = [number for number in range(1, global_batch_size + 1) if global_batch_size % number == 0]
    *others, last = (str(number) for number in sorted(sorted(fitting, key=lambda number: abs(number - count))[:4]))
    choice = f"{', '.join(others)} or {last} processes" if others else "1 process"
    larger = -(-global_batch_size // count) * count
    raise UsageError(
        f"global_batch_size={global_batch_size} cannot be shared evenly by {count} processes",
        hint=f"use {choice}, or global_batch_size={larger} (another run)",
    )
