"""Time the sum of gradients over processes: in buckets during the backward pass, or after it.

    python -m torch.distributed.run --nproc-per-node 2 -m benchmarks.speed.gradient_sums [--layers 24] [--uses 1]

The ways take turns in the same processes, so that a busy machine slows all of them; the medians of their ratios to the
first one are the figures, in wall time and in the processor time of all processes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from trm_cli.console.output import silence
from trm_cli.training.distributed.gradient_sum import GradientSum
from trm_cli.training.distributed.joining import join_process_group
from trm_cli.training.distributed.process_group import ProcessGroup

Backward = Callable[[Tensor], None]


class Trunk(nn.Module):
    """Layers of one width, gone through once or several times: like a network without recursion, and with it."""

    def __init__(self, layers: int, width: int, uses: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))
        self.uses = uses

    def forward(self, rows: Tensor) -> Tensor:
        """rows [B, width] -> 0-dim."""
        for _ in range(self.uses):
            for layer in self.layers:
                rows = rows + torch.tanh(layer(rows)) / len(self.layers)
        return rows.square().mean()


class AfterBackward(GradientSum):
    """The same buckets, of which none is sent while gradients are still computed."""

    def expect(self, bad_loss: Tensor) -> None:
        """Let no bucket be complete before the end."""
        super().expect(bad_loss)
        self._last = False


def in_buckets(sums: GradientSum, loss: Tensor) -> None:
    """As a run does it."""
    sums.expect(torch.tensor(False))
    loss.backward()
    sums.finish()


def one_by_one(model: nn.Module, process_group: ProcessGroup, loss: Tensor) -> None:
    """An exchange for each gradient, one waiting for the other, and the one that agrees."""
    loss.backward()
    process_group.largest([0] * 8)
    for parameter in model.parameters():
        assert parameter.grad is not None
        process_group.sum_([parameter.grad])


def compare(process_group: ProcessGroup, layers: int, width: int, uses: int, rows: int, turns: int) -> None:
    """Print the seconds of an update each way, and their ratios to the first one."""
    ways: dict[str, tuple[Trunk, Backward]] = {}
    for name, kind in (("during the backward pass", GradientSum), ("after it, in buckets", AfterBackward)):
        model = Trunk(layers, width, uses)
        ways[name] = model, partial(in_buckets, kind(model.parameters(), None, process_group))
    model = Trunk(layers, width, uses)
    ways["after it, one by one"] = model, partial(one_by_one, model, process_group)
    batch = torch.randn(rows, width, generator=torch.manual_seed(process_group.rank))
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, (model, backward) in ways.items():
            process_group.largest([0])
            clock, processor = time.perf_counter(), time.process_time()
            backward(model(batch))
            used = [time.process_time() - processor]
            seconds = process_group.total([(time.perf_counter() - clock) / process_group.count, *used])
            model.zero_grad(set_to_none=True)
            if turn:  # the first time memory is allocated
                found[name].append(seconds)
    if process_group.first:
        (first, *_) = found.values()
        for name, laps in found.items():
            wall, used = (statistics.median(column) for column in zip(*laps, strict=True))
            ratios = [
                statistics.median(lap[at] / base[at] for lap, base in zip(laps, first, strict=True)) for at in (0, 1)
            ]
            print(f"{name:26} {wall:7.3f} s ({ratios[0]:.2f}), processors {used:7.3f} s ({ratios[1]:.2f})")


def main() -> int:
    """Print a line a way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("layers", 24), ("width", 1024), ("uses", 1), ("rows", 512), ("turns", 15)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = vars(parser.parse_args())
    torch.set_num_threads(1)
    with join_process_group(global_batch_size=2 * 3 * 4, device="cpu", silence=silence) as process_group:
        compare(process_group, **given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
