"""Query memory and disk of this machine; nothing here raises, an unknown value is None."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

#: What the driver and torch take of a GPU's memory, in bytes.
HEADROOM = 1_300_000_000
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Gpu:
    """A CUDA device; capability as (major, minor), memory in bytes."""

    name: str
    capability: tuple[int, int]
    memory: int
    free: int


def memory_bytes() -> int:
    """Return the memory that this process may use: the machine's, or a container's limit."""
    limits = [_physical_memory()]
    for name in _CGROUP_LIMITS:
        try:
            limits.append(int(Path(name).read_text().strip()))
        except (OSError, ValueError):  # no such control group, or "max"
            continue
    return min(limits)


def _physical_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


#: Of what a process can have of a card: the rest is lost between the pieces.
_USABLE = 0.9


class MeasuredMemory(NamedTuple):
    """Bytes of a CUDA device. taken: by tensors at most; kept: by those that are alive now; reserved: by torch at most;
    available: to this process, what it has reserved included; total: of the device."""

    taken: int
    kept: int
    reserved: int
    available: int
    total: int

    def rows_that_fit(self, rows: int, gradients: int) -> int:
        """How many rows could be computed at once, after an update of `rows` whose gradients took so many bytes."""
        fixed = self.kept + gradients
        each = max(1, self.taken - fixed) / rows
        return int(max(0.0, _USABLE * self.available - fixed) / each)


def measured_memory(device: torch.device) -> MeasuredMemory | None:
    """What a CUDA device says after an update; None on other devices."""
    if device.type != "cuda":
        return None
    import torch

    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device)
    return MeasuredMemory(
        taken=torch.cuda.max_memory_allocated(device),
        kept=torch.cuda.memory_allocated(device),
        reserved=torch.cuda.max_memory_reserved(device),
        available=int(free) + reserved,
        total=int(total),
    )


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes on a device; None where unknown."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "cpu":
        return free_host_memory()
    return None


def free_host_memory(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the system has left without swapping, or the container that this process runs in: the smaller of both."""
    found = []
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        if "MemAvailable" in fields:
            found.append(1024 * int(fields["MemAvailable"].split()[0]))
    else:
        found.append(_physical_memory())
    limit, used = group / "memory.max", group / "memory.current"
    if limit.exists() and used.exists() and (text := limit.read_text().strip()).isdigit():
        found.append(int(text) - int(used.read_text()) + _idle_cache(group / "memory.stat"))
    return min(found, default=None)


def _idle_cache(stat: Path) -> int:
    """Return the reclaimable page cache of a container in bytes, which it counts as used."""
    if not stat.exists():
        return 0
    fields = dict(line.split() for line in stat.read_text().splitlines())
    return int(fields.get("inactive_file", 0))


def disk_bytes(path: Path) -> int | None:
    """Free disk where `path` is."""
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None


def gpus() -> list[Gpu]:
    """The CUDA devices that torch sees."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found.append(Gpu(torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index), total, free))
    return found
