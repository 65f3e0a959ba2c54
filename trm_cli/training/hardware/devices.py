"""Where a run computes, in which precision, with how many threads; each choice carries its reason and is printed."""

from __future__ import annotations

import os
import time
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


def cores_in_words() -> str:
    """The processor cores of this process, in words: "1 core", "n cores"."""
    count = available_cores()
    return f"{count} core{'s' * (count != 1)}"


def choose_device(wanted: str) -> Choice:
    """`auto`: CUDA where there is one, else the CPU; mps only on request. Raises UsageError for what is not here."""
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return Choice("cuda", torch.cuda.get_device_name())
        return Choice("cpu", f"no CUDA device here; {cores_in_words()}")
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
        return Choice("float32", "exact; precision=bfloat16 halves the time of wide models")
    # is_bf16_supported() is true on cards that merely emulate it, a T4 for instance, where it is slow.
    if torch.cuda.get_device_capability() >= (8, 0):
        return Choice("bfloat16", "the card computes in it")
    return Choice("float16", "the card has no bfloat16 units")


def choose_tf32(device: str) -> Choice:
    """Off: who asks for float32 on CUDA asks for its digits; bfloat16 is faster than TF32 and half as large."""
    if device != "cuda":
        return Choice("off", "a format of CUDA cards")
    return Choice("off", "products in float32 keep all of their digits; precision=bfloat16 is the fast choice")


def choose_compile(wanted: bool | str, device: str) -> Choice:
    """`auto`: compile where it pays back its minutes of warm-up, on CUDA cards that triton supports (8.0 and later)."""
    import torch

    if isinstance(wanted, bool):
        return Choice("on" if wanted else "off", "as asked")
    if device == "cuda" and torch.cuda.get_device_capability() >= (8, 0):
        return Choice("on", "the first steps take a minute, the others are faster")
    return Choice("off", "little to gain on this device; compile=true tries it")


def choose_threads(wanted: int | str, *, rows: int, width: int, processes: int = 1) -> Choice:
    """`auto`: all cores where a product of the model's size (rows x width) is clearly faster on them, else one.

    processes: how many on this machine share its cores.

    With a busy neighbour, threads wait for each other after every product: where a product takes a millisecond, two
    threads were seen 25 times slower than one. So a small model gets one thread whatever the moment says, and for a
    large one both are timed, for a fraction of a second.
    """
    if isinstance(wanted, int):
        return Choice(str(wanted), "as asked")
    cores = max(1, available_cores() // processes)
    if cores == 1:
        return Choice("1", "one core" if processes == 1 else f"{processes} processes share {cores_in_words()}")
    alone = _product_seconds(1, rows, width)
    if alone < _SMALL:
        return Choice("1", f"a product takes {1000 * alone:.1f} ms: too small to share")
    ratio = alone / _product_seconds(cores, rows, width)
    if ratio > _WORTH_IT:
        return Choice(str(cores), f"{cores} threads are {ratio:.1f} times as fast as one here and now")
    return Choice("1", f"{cores} threads are {ratio:.1f} times as fast as one here and now: not worth it")


def keep_threads(pinned: int, *, processes: int) -> Choice:
    """The number of a run that goes on, or fewer where it is in more processes now than there are cores for them."""
    share = max(1, available_cores() // processes)
    if processes == 1 or pinned <= share:
        return Choice(str(pinned), "as this run began")
    return Choice(str(share), f"{processes} processes share {cores_in_words()}; the run began with {pinned}")


def product_rate(*, rows: int, width: int) -> float:
    """Operations a second in matrix products of the model's size [rows, width], with torch's present threads."""
    import torch

    seconds = _product_seconds(torch.get_num_threads(), rows, width)
    return 2 * rows * width * 4 * width / seconds


#: Two threads must save at least this much; below it a busy moment later costs more than they gain.
_WORTH_IT = 1.3
#: Seconds; a scheduler's turn is a few milliseconds, and a thread that is waited for may miss one.
_SMALL = 0.01
_TIMINGS = 12


def _product_seconds(threads: int, rows: int, width: int) -> float:
    """The median time of a gated product on this many threads, as the model computes it over and over."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        activations, weights = torch.ones(rows, width), torch.ones(width, 4 * width)
        times = []
        for _ in range(_TIMINGS):
            started = time.perf_counter()
            torch.nn.functional.silu(activations @ weights)
            times.append(time.perf_counter() - started)
        return sorted(times)[_TIMINGS // 2]
    finally:
        torch.set_num_threads(before)


def synchronise(device: torch.device) -> None:
    """Wait for the device, so that a clock read afterwards is honest."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
