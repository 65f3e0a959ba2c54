"""`trm` in two processes, of which one fails in the way that the first word names, or both lose each other."""

from __future__ import annotations

import atexit
import os
import sys
import time
from datetime import timedelta
from typing import Any

from trm_cli.app import main
from trm_cli.console.output import note
from trm_cli.training.distributed.launcher import launch


def break_data(error: Exception, *, both: bool = False) -> None:
    """The second process cannot have the rows of the seventh update; both: nor can the first, and finds out earlier."""
    from trm_cli.training.run.datasets import TrainBatches

    sound = TrainBatches.train_batch

    def train_batch(self: TrainBatches, step: int) -> Any:
        if step == 7 and (both or os.environ["RANK"] == "1"):
            time.sleep(2.0 * both * int(os.environ["RANK"]))  # until the first one has told and is gone
            raise error
        return sound(self, step)

    TrainBatches.train_batch = train_batch  # type: ignore[method-assign]


def break_exchanges() -> None:
    """Every process is alive, and after a while no exchange between them works."""
    import torch.distributed as dist

    sound, calls = dist.all_reduce, []

    def all_reduce(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > 30:  # after update 5, before update 10
            raise RuntimeError("NCCL error: unhandled system error\nand details")
        return sound(*arguments, **options)

    dist.all_reduce = all_reduce


def fall_silent() -> None:
    """The second process lives and says nothing more at the seventh update; others wait ten seconds for it."""
    from trm_cli.training.distributed import torch_process_group
    from trm_cli.training.run.datasets import TrainBatches

    torch_process_group.SILENCE = timedelta(seconds=10)
    sound = TrainBatches.train_batch

    def train_batch(self: TrainBatches, step: int) -> Any:
        if step == 7 and os.environ["RANK"] == "1":
            time.sleep(600)
        return sound(self, step)

    TrainBatches.train_batch = train_batch  # type: ignore[method-assign]


if __name__ == "__main__":
    how, *line = sys.argv[1:]
    if "RANK" not in os.environ:
        sys.exit(launch([sys.executable, __file__, how, *line], 2, note))
    # Threads of an exchange can abort a process on its way out. Here everyone would, who did not end at once.
    atexit.register(os.abort)
    if how == "exchange":
        break_exchanges()
    elif how == "silence":
        fall_silent()
    else:
        from trm_cli.errors import DatasetError

        gone = DatasetError("its rows are gone")
        break_data(ValueError("a mistake of ours") if how == "mistake" else gone, both=how == "data of both")
    sys.argv[1:] = line
    main()
