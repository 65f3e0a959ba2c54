"""Format seconds and bytes for people, and read seconds back. Standard library only; every layer may import it."""

from __future__ import annotations

import re

_SPAN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?")


def seconds_of(text: str) -> float:
    """Read 11h, 10m, 90s or 1h30m. ValueError for anything else, and for no time at all."""
    found = _SPAN.fullmatch(text.strip().lower())
    parts = [float(part or 0) for part in found.groups()] if found else [0.0]
    seconds = sum(amount * unit for amount, unit in zip(parts, (3600, 60, 1), strict=False))
    if not 0 < seconds < 1e9:
        raise ValueError(f"{text!r} is not a time such as 11h, 10m, 90s or 1h30m")
    return seconds


def duration(seconds: float) -> str:
    """Seconds in at most two units: 48 s, 3:07 min, 5:12 h, 2 d 3 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    if whole < 86400:
        return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def disk_size(size: float) -> str:
    """Bytes on disk, in powers of 1000, as disks are sold: 512 bytes, 5.0 kB, 13.7 GB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} bytes" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def memory_size(size: float) -> str:
    """Bytes of memory, in powers of 1024, as memory is sold: 0.3 MiB, 123 MiB, 21.4 GiB."""
    if size >= 2**30:
        return f"{size / 2**30:,.1f} GiB"
    return f"{size / 2**20:.0f} MiB" if size >= 10 * 2**20 else f"{size / 2**20:.1f} MiB"
