"""Where a run computes, in which precision, with how many threads; each choice carries its reason and is printed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Choice:
    """A decision and why it was taken."""

    value: str
    reason: str


def prepare_threads() -> None:
    """Make waiting threads sleep instead of spin. Must run before torch is imported: OpenMP reads these once.

    With a busy neighbour on the second core, spinning threads were seen to slow a training step 25 times.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def available_cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_device(wanted: str) -> Choice:
    """`auto`: CUDA where there is one, else the CPU; mps only on request. Raises UsageError when the wish cannot be met."""
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return Choice("cuda", torch.cuda.get_device_name())
        return Choice("cpu", f"no CUDA device here; {available_cores()} cores")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("device=cuda, but torch sees no CUDA device here", hint="`trm doctor` says what torch sees")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device=mps, but torch sees no Apple GPU here", hint="use device=cpu")
    return Choice(wanted, "as asked")


def choose_precision(wanted: str, device: str) -> Choice:
    """`auto`: bfloat16 where the chip computes in it, float16 on older CUDA cards, float32 on the CPU."""
    import torch

    if wanted != "auto":
        return Choice(wanted, "as asked")
    if device != "cuda":
        return Choice(
            "float32", "exact and fast enough on this device; precision=bfloat16 halves the time of wide models"
        )
    # is_bf16_supported() is true on cards that merely emulate it, a T4 for instance, where it is slow.
    if torch.cuda.get_device_capability() >= (8, 0):
        return Choice("bfloat16", "the card computes in it")
    return Choice("float16", "the card has no bfloat16 units")


def set_threads(wanted: int | str) -> Choice:
    """Set the number of CPU threads of torch and say why."""
    import torch

    if isinstance(wanted, int):
        torch.set_num_threads(wanted)
        return Choice(str(wanted), "as asked")
    threads = available_cores()
    torch.set_num_threads(threads)
    return Choice(str(threads), "one a core; waiting threads sleep")


def synchronise(device: torch.device) -> None:
    """Wait for the device, so that a clock read afterwards is honest."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
