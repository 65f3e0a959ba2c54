"""A process group of torch.distributed: gloo between CPUs, NCCL between CUDA devices.

Tensors are gathered as bytes, because gloo does not know every type that a carry has (bool, bfloat16).
"""

from __future__ import annotations

import pickle
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from trm_cli.errors import TrmError, first_line
from trm_cli.training.distributed.process_group import ProcessGroup

#: How long a process waits for another one that is alive and silent. A dead one is noticed at once.
SILENCE = timedelta(minutes=30)
#: Between two looks at whether the first process is still there while it does something long.
_LOOK = timedelta(seconds=1)


class LostConnection(TrmError):
    """Another process of the run is gone or silent; that process reports the reason."""


@contextmanager
def contact() -> Iterator[None]:
    """Turn what torch raises for a process that is gone into LostConnection."""
    try:
        yield
    except RuntimeError as error:  # what gloo, NCCL and the store raise for a process that is gone
        raise LostConnection(
            f"lost contact with another process of this run: {first_line(error)[:200]}",
            hint="it was killed, or its machine is gone; `trm resume RUN` continues from the last checkpoint",
        ) from error


class TorchProcessGroup(ProcessGroup):
    """One of several processes. Every method is called by all of them, in the same order."""

    def __init__(self, store: dist.Store, rank: int, count: int, local_count: int, device_type: str) -> None:
        """Join the group. Raises LostConnection when they do not come."""
        self.rank, self.count, self.local_count = rank, count, local_count
        self._store = dist.PrefixStore("trm", store)
        self._messages = 0
        backend = "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo"
        with contact():
            dist.init_process_group(
                backend, store=dist.PrefixStore("group", store), rank=rank, world_size=count, timeout=SILENCE
            )
            self._sums = dist.new_group(backend=backend, timeout=SILENCE)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """See `ProcessGroup`. All sums are under way at once."""
        with contact():
            works = [dist.all_reduce(tensor, async_op=True) for tensor in tensors]
            for work in works:
                if work is not None:
                    work.wait()

    def begin_sum(self, tensor: Tensor) -> Callable[[], None]:
        """See `ProcessGroup`."""
        with contact():
            work = dist.all_reduce(tensor, group=self._sums, async_op=True)

        def wait() -> None:
            with contact():
                if work is not None:
                    work.wait()

        return wait

    def gather(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """See `ProcessGroup`. One exchange for all tensors."""
        flat = [tensor.detach().reshape(len(tensor), -1).contiguous().view(torch.uint8) for tensor in tensors]
        sizes = [part.shape[1] for part in flat]
        mine = torch.cat(flat, 1)
        everything = mine.new_empty(self.count * mine.shape[0], mine.shape[1])
        with contact():
            dist.all_gather(list(everything.chunk(self.count)), mine)
        return [
            part.contiguous().view(tensor.dtype).view(-1, *tensor.shape[1:])
            for part, tensor in zip(everything.split(sizes, 1), tensors, strict=True)
        ]

    def total(self, numbers: Sequence[float]) -> list[float]:
        """See `ProcessGroup`."""
        return self._reduced(torch.tensor(numbers, dtype=torch.float64), dist.ReduceOp.SUM)

    def largest(self, numbers: Sequence[int]) -> list[int]:
        """See `ProcessGroup`."""
        return self._reduced(torch.tensor(numbers, dtype=torch.int64), dist.ReduceOp.MAX)

    def _reduced(self, numbers: Tensor, how: Any) -> list[Any]:
        with contact():
            dist.all_reduce(numbers, op=how)
        return list(numbers.tolist())

    def from_first(self, make: Callable[[], Any]) -> Any:
        """See `ProcessGroup`. Travels through the store, which has no limit on how long the first process takes."""
        self._messages += 1
        name = f"message {self._messages}"
        if self.first:
            value = make()
            with contact():
                self._store.set(name, b64encode(pickle.dumps(value)).decode("ascii"))
            return value
        with contact():
            while True:
                try:
                    self._store.wait([name], _LOOK)
                except dist.DistStoreError:  # nothing yet; a store that is gone raises something else
                    continue
                return pickle.loads(b64decode(self._store.get(name)))

    def state_from_first(self, make: Callable[[], Any]) -> Any:
        """See `ProcessGroup`."""
        value: Any = None

        def without_contents() -> Any:
            nonlocal value
            value = tree_map_only(Tensor, Tensor.contiguous, make())
            return tree_map_only(Tensor, lambda tensor: tensor.to("meta"), value)

        empty = self.from_first(without_contents)
        if not self.first:
            value = tree_map_only(Tensor, lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype), empty)
        with contact():
            for leaf in tree_leaves(value):
                if isinstance(leaf, Tensor) and leaf.numel():
                    dist.broadcast(leaf.view(-1).view(torch.uint8), src=0)
        return value

    def claim_failure(self) -> bool | None:
        """Whether this is the first process that fails: the one that reports its error.

        None: the store is gone with the process of rank 0, which may or may not have reported its error.
        """
        try:
            self._store.set_timeout(_LOOK)
            return self._store.add("failures", 1) == 1
        except RuntimeError:
            return None

    def leave(self) -> None:
        """Leave the group, at the end of the run."""
        with contact():
            self.largest([0])  # none leaves while another one still has something to exchange
            dist.destroy_process_group()
