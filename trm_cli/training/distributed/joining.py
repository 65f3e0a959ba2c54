"""How a process finds the others: through the variables that torchrun, SLURM scripts and our launcher set.

RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT. Without RANK, or with a WORLD_SIZE of 1, a
process is alone and nothing of torch.distributed is imported.
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
from trm_cli.training.distributed.launcher import LOST_CONTACT, follow_launcher, launched_by_us, leave_word
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.distributed.rows import check_divides

if TYPE_CHECKING:
    from trm_cli.training.distributed.torch_process_group import TorchProcessGroup


@dataclass(frozen=True)
class Place:
    """Where this process stands among the others."""

    rank: int
    count: int
    local_rank: int
    local_count: int


def find_place(environment: Mapping[str, str]) -> Place:
    """Read the variables. Raises UsageError for ones that make no sense."""
    if "RANK" not in environment:
        return Place(0, 1, 0, 1)
    try:
        rank, count = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local_rank = int(environment.get("LOCAL_RANK", rank))
        place = Place(rank, count, local_rank, int(environment.get("LOCAL_WORLD_SIZE", 1)))
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"RANK is set, but the variables of a launcher are not whole ({error})",
            hint="start with torchrun or --nproc-per-node, or unset RANK",
        ) from error
    if not 0 <= rank < count or local_rank < 0:
        raise UsageError(f"RANK={rank} is not one of WORLD_SIZE={count} processes")
    return place


@contextmanager
def joined(*, global_batch_size: int, device: str, silence: Callable[[bool], None]) -> Iterator[ProcessGroup]:
    """Be one of the processes of a run, until the run ends.

    device: as configured, `auto` included. silence: called with True in every process but the first, and with False
    in the one that has an error to tell. Within the block an error of one process ends all of them, and is told once:
    under another launcher than ours sometimes by a second process too, where the first is gone and nobody knows what it
    said.
    """
    place = find_place(os.environ)
    if place.count == 1:
        yield ProcessGroup()
        return
    follow_launcher()
    check_divides(global_batch_size, place.count)
    # The libraries underneath report at length that a peer is gone; it has said why itself.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from trm_cli.training.distributed.torch_process_group import LostConnection

    silence(place.rank > 0)
    process_group: TorchProcessGroup | None = None
    try:
        process_group = _meet(place, device)
        yield process_group
        process_group.leave()
    except LostConnection as error:
        # Our launcher knows how the other one ended; other launchers are left to say it in their own words as well.
        if launched_by_us():
            leave_word(error.message)
            end_process(LOST_CONTACT)
        if process_group is not None and process_group.claim_failure() is False:
            end_process(LOST_CONTACT)
        silence(False)
        atexit.register(end_process, int(error.exit_code))  # as soon as it is told
        raise
    except Exception as error:
        code = int(error.exit_code if isinstance(error, TrmError) else ExitCode.FAILED)
        first = True if process_group is None else process_group.claim_failure()
        if first is None and launched_by_us():
            said = str(error) if isinstance(error, TrmError) else f"{type(error).__name__}: {error}"
            leave_word(" ".join(said.split()))  # to be told if the process of rank 0 has told nothing
            end_process(LOST_CONTACT)
        if first is False:
            end_process(code)
        silence(False)
        atexit.register(end_process, code)
        raise


def _meet(place: Place, device: str) -> TorchProcessGroup:
    import torch
    import torch.distributed as dist

    from trm_cli.training.distributed.torch_process_group import SILENCE, TorchProcessGroup, contact

    kind = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "mps":
        raise UsageError("device=mps takes one process", hint="leave --nproc-per-node out")
    if kind == "cuda" and torch.cuda.is_available():
        if place.local_rank >= torch.cuda.device_count():
            raise UsageError(
                f"process {place.local_rank} of this machine has no CUDA device: it has {torch.cuda.device_count()}",
                hint=f"start {torch.cuda.device_count()} processes on it, or device=cpu",
            )
        torch.cuda.set_device(place.local_rank)
    with contact():
        store, _, _ = next(dist.rendezvous("env://", place.rank, place.count, timeout=SILENCE))
    return TorchProcessGroup(store, place.rank, place.count, place.local_count, kind)


def end_process(code: int) -> None:
    """End at once: threads of a broken exchange may never end by themselves, and those of a sound one have been seen to
    abort a process that was through (`terminate called without an active exception`)."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)
