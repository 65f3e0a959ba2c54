"""Sum the gradients of all processes, so that each makes the update that one process would make.

Buckets of our own instead of the DistributedDataParallel wrapper: losses here are sums over rows that are divided by
the global batch, so gradients are summed and not averaged; a model is called in more than one way (a step without
gradients looks ahead, an evaluation advances a carry), which the wrapper's forward does not expect; parameters that a
setting leaves without a gradient keep none; and the wrapper forms its buckets anew after the first step, while these
follow from the parameters alone, so that a run that continues adds in the same order. The sums are the same bits in
every process, so whatever is decided from them (clipping, an overflow, a skipped update) is decided equally.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from trm_cli.errors import TrmError
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.distributed.tensor_shards import is_sharded

#: Numbers summed in one exchange: large enough that its start costs nothing, small enough to begin early.
_BUCKET = 6_000_000


class Requests(Protocol):
    """Flags of each process, of which all processes are to know the largest values."""

    def local_flags(self) -> list[int]:
        """Return those of this process."""
        ...

    def apply_max(self, flags: Sequence[int]) -> None:
        """Take the largest values over all processes."""
        ...


class _Bucket:
    """Gradients that are summed in one exchange: their places in one tensor, and one place more for the verdict.

    It has memory from its first gradient of an update to its last use, where the gradients are views of it.
    """

    def __init__(self, parameters: list[nn.Parameter], like: Tensor) -> None:
        self.parameters = parameters
        self._like = like
        self._sizes = [parameter.numel() for parameter in parameters]
        self._flat: Tensor | None = None
        self._places: dict[nn.Parameter, Tensor] = {}
        self.missing = 0

    @property
    def flat(self) -> Tensor:
        """All gradients and the verdict; where a gradient has not come it is zero."""
        return self._allocated()

    def _allocated(self) -> Tensor:
        if self._flat is None:
            self._flat = torch.zeros(sum(self._sizes) + 1, dtype=self._like.dtype, device=self._like.device)
            parts = self._flat[:-1].split(self._sizes) if self._sizes else ()
            self._places = {
                parameter: part.view_as(parameter) for parameter, part in zip(self.parameters, parts, strict=True)
            }
        return self._flat

    def place(self, parameter: nn.Parameter) -> Tensor:
        """Where the gradient of a parameter belongs."""
        self._allocated()
        return self._places[parameter]

    def release(self) -> None:
        """Leave the memory to the gradients, which go when the optimizer has used them."""
        self._flat, self._places = None, {}


class GradientSum:
    """Replaces every gradient of a network by its sum over all processes, bucket by bucket, during the backward pass.

    A gradient is moved to its place in a bucket as soon as it is computed. A bucket is sent
    when its gradients are complete, in the order of the buckets, which is that of the backward pass: last layers first.
    Sharded parameters are left to FSDP, which has summed them.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        table: nn.Parameter | None,
        process_group: ProcessGroup,
        requests: Requests | None = None,
        *,
        keep: bool = False,
    ) -> None:
        """parameters: those with dense gradients, in the same order everywhere; table: the one with a sparse one.

        requests: what else all processes are to know after an update. keep: gradients stay where they are.
        """
        self._requests, self._keep = requests, keep
        self._bad_loss: Tensor | None = None
        every = list(parameters)
        trained = [parameter for parameter in every if parameter.requires_grad and not is_sharded(parameter)]
        self._table, self._process_group = table, process_group
        like = next(iter(trained), torch.zeros(1, device=every[0].device))
        self._buckets = [_Bucket(group, group[0]) for group in _grouped(trained[::-1])] or [_Bucket([], like)]
        self._bucket_of = {parameter: bucket for bucket in self._buckets for parameter in bucket.parameters}
        self._sent: list[Callable[[], None]] = []
        self._last = False
        for parameter in trained:
            parameter.register_post_accumulate_grad_hook(self._computed)

    def expect(self, bad_loss: Tensor) -> None:
        """The next backward pass is the last one of an update. bad_loss: 0-dim bool, whether some loss of this process
        is not finite; it travels with the gradients."""
        self._last, self._sent = True, []
        for bucket in self._buckets:
            bucket.missing = len(bucket.parameters)
        self._bad_loss = bad_loss

    def finish(self) -> Tensor:
        """Wait for all sums, after the backward pass; returns whether all losses are finite, 0-dim bool."""
        self._last = False
        places = self._bucket_of.items()
        dense = [parameter for parameter, _ in places if parameter.grad is not None]
        sparse = None if self._table is None else self._table.grad
        least, most = self._agree(dense, sparse)
        for parameter, bucket in places:
            if parameter.grad is None and self._keep:
                bucket.place(parameter).zero_()
        for bucket in self._buckets[len(self._sent) :]:
            self._send(bucket)
        for wait in self._sent:
            wait()
        self._sent = []  # an exchange holds its tensor
        if self._table is not None and sparse is not None:
            self._table.grad = _gather_rows(sparse, least, most, self._process_group)
        finite = self._buckets[-1].flat[-1] == 0
        if not self._keep:
            for bucket in self._buckets:
                bucket.release()
        return finite

    def _computed(self, parameter: nn.Parameter) -> None:
        """A gradient has been added up; called by the backward pass."""
        bucket, gradient = self._bucket_of[parameter], parameter.grad
        assert gradient is not None
        place = bucket.place(parameter)
        if gradient.data_ptr() != place.data_ptr():
            place.copy_(gradient)
            parameter.grad = place
        bucket.missing -= 1
        while self._last and len(self._sent) < len(self._buckets) and not self._buckets[len(self._sent)].missing:
            self._send(self._buckets[len(self._sent)])

    def _send(self, bucket: _Bucket) -> None:
        if bucket is self._buckets[-1]:
            assert self._bad_loss is not None  # `expect` comes first
            bucket.flat[-1] = self._bad_loss
        self._sent.append(self._process_group.begin_sum(bucket.flat))

    def _agree(self, dense: list[nn.Parameter], sparse: Tensor | None) -> tuple[int, int]:
        """The least and the most rows that the sparse gradient of a process has, once it is certain that all have the
        same gradients: other sizes would be summed wrongly, or deadlock. Requests travel in the same exchange.
        """
        rows = 0 if sparse is None else sparse._nnz()
        same = [len(dense), sum(parameter.numel() for parameter in dense), int(sparse is not None)]
        flags = [] if self._requests is None else self._requests.local_flags()
        numbers = [-rows, rows, *same, *(-number for number in same)]
        found = self._process_group.largest([*numbers, *flags])
        least, most, *counted = found[: len(numbers)]
        if counted != numbers[2:]:
            raise TrmError(
                "the processes of this run have gradients of different parameters", hint="please report this"
            )
        if self._requests is not None:
            self._requests.apply_max(found[len(numbers) :])
        return -least, most


def _gather_rows(gradient: Tensor, least: int, most: int, process_group: ProcessGroup) -> Tensor:
    """The rows of all processes' sparse gradients of a table [N, E], one after the other, not yet added up.

    In one process the rows of a batch stand in the same order, so that the sums of equal ids have the same bits.
    """
    ids, rows = gradient._indices()[0], gradient._values()
    counted = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    missing = most - len(ids)
    if missing:
        ids, rows = torch.cat((ids, ids.new_zeros(missing))), torch.cat((rows, rows.new_zeros(missing, rows.shape[1])))
        counted = torch.cat((counted, counted.new_zeros(missing)))
    ids, rows, counted = process_group.gather((ids, rows, counted))
    if least < most:  # only then, since the device would be waited for
        ids, rows = ids[counted], rows[counted]
    return torch.sparse_coo_tensor(ids[None], rows, gradient.shape, check_invariants=False)


def _grouped(dense: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Neighbouring parameters together, up to the size of a bucket; one type to a bucket."""
    buckets: list[list[nn.Parameter]] = []
    size = 0
    for parameter in dense:
        if not buckets or size + parameter.numel() > _BUCKET or parameter.dtype != buckets[-1][0].dtype:
            buckets.append([])
            size = 0
        buckets[-1].append(parameter)
        size += parameter.numel()
    return buckets
