"""How much memory and disk this machine has, as numbers; nothing here raises, what cannot be found out is None."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Card:
    """A CUDA device; capability as (major, minor), memory in bytes."""

    name: str
    capability: tuple[int, int]
    memory: int
    free: int


def memory_bytes() -> int | None:
    """Memory that this process may use: the machine's, or less where a container says so."""
    limits = []
    if hasattr(os, "sysconf") and {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys():
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in _CGROUP_LIMITS:
        try:
            limits.append(int(Path(name).read_text().strip()))
        except (OSError, ValueError):  # no such control group, or "max"
            continue
    return min(limits) if limits else None


def disk_bytes(path: Path) -> int | None:
    """Free disk where `path` is."""
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None


def cards() -> list[Card]:
    """The CUDA devices that torch sees."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found.append(Card(torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index), total, free))
    return found
