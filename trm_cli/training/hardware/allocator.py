"""How this process gets memory from the system, where every update asks for the same blocks again."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = -1


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for the next update; return whether it can be told (another C library cannot).

    By default it maps each block over 32 MiB on its own, returns it when it is freed, and the next update waits again
    until the system has cleared every page of it: a tenth of the time of a wide model's step (docs/experiments.md).
    """
    notify = getattr(ctypes.CDLL(None), "mallopt", None)
    return notify is not None and bool(notify(_M_MMAP_MAX, 0)) and bool(notify(_M_TRIM_THRESHOLD, _NEVER))
