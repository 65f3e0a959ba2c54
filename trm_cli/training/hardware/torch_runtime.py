"""Set the process-wide state of torch: threads, TF32, memory reuse, seed. No other module does."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # names and values of glibc's mallopt
_NEVER = -1


def prepare_threads() -> None:
    """Make waiting threads sleep instead of spin. Must run before torch is imported: OpenMP reads these once.

    With a busy neighbour on the second core, spinning threads were seen to slow a training step 25 times.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def set_threads(count: int) -> None:
    """Use `count` threads inside of an operation."""
    import torch

    torch.set_num_threads(count)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use `count` threads inside of the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def forbid_tf32() -> None:
    """Compute float32 products in full precision. Set in every process, so that no environment variable decides it."""
    import torch

    torch.set_float32_matmul_precision("highest")


def use_deterministic_kernels(wanted: bool) -> None:
    """On CUDA, compute with kernels that add up in the same order every time, or with the fastest.

    Where torch has no such kernel it raises RuntimeError, which names the operation. Call it before the first product:
    cuBLAS reads its setting when it is first used.
    """
    import torch

    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if torch.are_deterministic_algorithms_enabled() != wanted:  # it loads the compiler, for a second
        torch.use_deterministic_algorithms(wanted)


def keep_freed_memory() -> None:
    """Let glibc reuse freed memory instead of returning it to the system, where the C library is glibc.

    Returned memory has to be zeroed page by page when the next update allocates it: 3 to 10 % of a step at width 512.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)


def set_seed(seed: int) -> None:
    """Seed torch's random number generators on every device."""
    import torch

    torch.manual_seed(seed)
