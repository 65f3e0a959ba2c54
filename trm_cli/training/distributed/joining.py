"""Join the process group of a run: through the variables that torchrun, SLURM scripts and our launcher set.

RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT. Without RANK, or with a WORLD_SIZE of 1, the
run has one process and nothing of torch.distributed is imported.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trm_cli.errors import ExitCode, TrmError, UsageError
from trm_cli.training.distributed.launcher import LOST_CONTACT, follow_launcher, launched_by_us, report_reason
from trm_cli.training.distributed.process_group import ProcessGroup, check_divides

if TYPE_CHECKING:
    from trm_cli.training.distributed.torch_process_group import TorchProcessGroup


@dataclass(frozen=True)
class RankInfo:
    """The rank of this process and the number of processes, in the run and on this machine."""

    rank: int
    count: int
    local_rank: int
    local_count: int


def read_rank_info(environment: Mapping[str, str]) -> RankInfo:
    """Read the variables of a launcher. Raises UsageError for contradictory ones."""
    if "RANK" not in environment:
        return RankInfo(0, 1, 0, 1)
    try:
        rank, count = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local_rank = int(environment.get("LOCAL_RANK", rank))
        ranks = RankInfo(rank, count, local_rank, int(environment.get("LOCAL_WORLD_SIZE", 1)))
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"RANK is set, but the other variables of a launcher are missing or wrong ({error})",
            hint="start with torchrun or --nproc-per-node, or unset RANK",
        ) from error
    if not 0 <= rank < count or local_rank < 0:
        raise UsageError(f"RANK={rank} is not one of WORLD_SIZE={count} processes")
    return ranks


def _require_meeting_place(environment: Mapping[str, str]) -> None:
    port = environment.get("MASTER_PORT", "")
    if not (environment.get("MASTER_ADDR") and port.isdecimal() and 0 < int(port[:6]) < 2**16):
        found = f"MASTER_ADDR={environment.get('MASTER_ADDR', '')} MASTER_PORT={port}"
        raise UsageError(
            f"RANK is set, but not where the processes meet: found {found}, expected an address and a port to 65535",
            hint="start with torchrun or --nproc-per-node, or unset RANK",
        )


@contextmanager
def join_process_group(
    *, global_batch_size: int, device: str, silence: Callable[[bool], None]
) -> Iterator[ProcessGroup]:
    """Join the process group that the environment describes, for the duration of the block.

    device: as configured, `auto` included. silence: called with True in every process but the first, and with False
    in the one that has an error to print. Within the block an error of one process ends all of them, and is printed
    once: under another launcher than ours sometimes by a second process too, where the first is gone and nobody knows
    what it printed.
    """
    ranks = read_rank_info(os.environ)
    if ranks.count == 1:
        yield ProcessGroup()
        return
    _require_meeting_place(os.environ)
    follow_launcher()
    check_divides(global_batch_size, ranks.count)
    # The libraries underneath report at length that another process is gone; that one has reported the reason.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from trm_cli.training.distributed.torch_process_group import LostConnection

    silence(ranks.rank > 0)
    process_group: TorchProcessGroup | None = None
    try:
        process_group = _connect(ranks, device)
        yield process_group
        process_group.leave()
    except LostConnection as error:
        # Our launcher knows how the other one ended; other launchers also print it in their own words.
        if launched_by_us():
            report_reason(error.message)
            end_process(LOST_CONTACT)
        if process_group is not None and process_group.claim_failure() is False:
            end_process(LOST_CONTACT)
        silence(False)
        atexit.register(end_process, int(error.exit_code))  # as soon as it is printed
        raise
    except Exception as error:
        code = int(error.exit_code if isinstance(error, TrmError) else ExitCode.FAILED)
        first = True if process_group is None else process_group.claim_failure()
        if first is None and launched_by_us():
            reason = error.message if isinstance(error, TrmError) else f"{type(error).__name__}: {error}"
            report_reason(" ".join(reason.split()))  # printed where rank 0 has printed nothing
            end_process(LOST_CONTACT)
        if first is False:
            end_process(code)
        silence(False)
        atexit.register(end_process, code)
        raise


def _connect(ranks: RankInfo, device: str) -> TorchProcessGroup:
    import torch
    import torch.distributed as dist

    from trm_cli.training.distributed.torch_process_group import SILENCE, TorchProcessGroup, contact

    kind = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "mps":
        raise UsageError("device=mps takes one process", hint="leave --nproc-per-node out")
    if kind == "cuda" and torch.cuda.is_available():
        if ranks.local_rank >= torch.cuda.device_count():
            raise UsageError(
                f"process {ranks.local_rank} of this machine has no CUDA device: it has {torch.cuda.device_count()}",
                hint=f"start {torch.cuda.device_count()} processes on it, or device=cpu",
            )
        torch.cuda.set_device(ranks.local_rank)
    with contact():
        store, _, _ = next(dist.rendezvous("env://", ranks.rank, ranks.count, timeout=SILENCE))
    return TorchProcessGroup(store, ranks.rank, ranks.count, ranks.local_count, kind)


def end_process(code: int) -> None:
    """End the process at once.

    Threads of a broken exchange may never end, and those of a sound one have been seen to abort a process
    that was done (`terminate called without an active exception`).
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)
