"""Three processes sum the same gradients by torch's wrapper and by ours: what speaks against the wrapper is seen."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trm_cli.console.output import silence
from trm_cli.training.distributed.gradient_sum import GradientSum
from trm_cli.training.distributed.joining import end_process, join_process_group
from trm_cli.training.distributed.process_group import ProcessGroup

PROCESSES = 3


class Backwards(nn.Module):
    """Weights whose gradients do not come in the reverse of their order: the first one is used last."""

    def __init__(self, unused: int = 0) -> None:
        super().__init__()
        made = torch.Generator().manual_seed(0)
        self.weights = nn.ParameterList(torch.randn(100_000 + 7 * at, generator=made) for at in range(5))
        self.unused = nn.Parameter(torch.zeros(unused)) if unused else None

    def forward(self, rows: Tensor) -> Tensor:
        """rows [5] -> 0-dim."""
        total = rows.sum()
        for weight, row in zip(reversed(self.weights), rows, strict=True):
            total = (weight * row + total).tanh().mean()
        return total


def of_three_updates(
    model: nn.Module, called: nn.Module, rows: Tensor, sums: GradientSum | None = None
) -> list[Tensor]:
    """The gradients of three equal updates, each as one tensor."""
    found = []
    for _ in range(3):
        model.zero_grad(set_to_none=True)
        loss = called(rows)
        if sums is not None:
            sums.expect(torch.tensor(False))
        loss.backward()
        if sums is not None:
            sums.finish()
        found.append(
            torch.cat([parameter.grad.view(-1) for parameter in model.parameters() if parameter.grad is not None])
        )
    return found


def added(bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """Sums instead of means, as a hook of the wrapper."""
    done = dist.all_reduce(bucket.buffer(), async_op=True)
    assert done is not None
    return done.get_future().then(lambda future: future.value()[0])


def main(process_group: ProcessGroup) -> None:
    rows = torch.randn(5, generator=torch.manual_seed(process_group.rank + 1))
    model = Backwards()
    first, *others = of_three_updates(model, model, rows, GradientSum(model.parameters(), None, process_group))
    assert (first != 0).all() and all(torch.equal(first, other) for other in others), (
        "a run that continues adds in the same order"
    )

    model = Backwards()
    mean, *_ = of_three_updates(model, DistributedDataParallel(model), rows)
    assert torch.allclose(mean * PROCESSES, first, rtol=1e-4, atol=1e-8)
    assert not torch.equal(mean * PROCESSES, first), "the wrapper's means are not sums to the bit"

    model = Backwards()
    wrapped = DistributedDataParallel(model)
    wrapped.register_comm_hook(None, lambda _, bucket: added(bucket))
    summed, *later = of_three_updates(model, wrapped, rows)
    assert torch.allclose(summed, first, rtol=1e-4, atol=1e-8)
    assert not torch.equal(summed, later[-1]), "the wrapper forms its buckets anew, and adds in another order"

    model = Backwards(unused=3)
    with pytest.raises(RuntimeError, match="Expected to have finished reduction"):
        of_three_updates(model, DistributedDataParallel(model), rows)
    model = Backwards(unused=3)
    of_three_updates(model, model, rows, GradientSum(model.parameters(), None, process_group))
    assert model.unused is not None and model.unused.grad is None


if __name__ == "__main__":
    with join_process_group(global_batch_size=PROCESSES, device="cpu", silence=silence) as group:
        main(group)
    end_process(0)
