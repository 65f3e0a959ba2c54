"""Measure what a stretch of work takes: seconds, processor seconds and, where the device tells, energy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_POWERCAP = Path("/sys/class/powercap")


class Usage:
    """Tells what has been used since it was last asked: by this process, and in joules by its whole device."""

    def __init__(self, device: torch.device) -> None:
        self._energy = energy_counter(device)
        self._before = self._now()

    def lap(self) -> dict[str, float]:
        """seconds, cpu_seconds (all threads of this process) and, where it is known, joules (the whole device's)."""
        now, before = self._now(), self._before
        self._before = now
        used = dict(
            zip(("seconds", "cpu_seconds", "joules"), (a - b for a, b in zip(now, before, strict=True)), strict=False)
        )
        return {name: round(value, 4) for name, value in used.items()}

    def _now(self) -> list[float]:
        clocks = [time.monotonic(), time.process_time()]
        return clocks if self._energy is None else [*clocks, self._energy()]


def energy_counter(device: torch.device) -> Callable[[], float] | None:
    """A function that returns the joules that a device has used since some moment; None where it does not tell.

    A GPU's by NVML (the package nvidia-ml-py), a processor's by the RAPL counters of its packages, which most systems
    show to root alone.
    """
    return _nvml(device) if device.type == "cuda" else rapl() if device.type == "cpu" else None


def _nvml(device: torch.device) -> Callable[[], float] | None:
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")

        def joules() -> float:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3

        joules()
    except Exception:  # noqa: BLE001  no package, no driver, or a device that does not count
        return None
    return joules


def rapl(root: Path = _POWERCAP) -> Callable[[], float] | None:
    """The energy of all processor packages; None where there are no counters or they may not be read."""
    packages = [_RaplCounter(path) for path in sorted(root.glob("intel-rapl:*")) if path.name.count(":") == 1]
    try:
        for package in packages:
            package.joules()
    except (OSError, ValueError):
        return None
    return _sum_of(packages) if packages else None


def _sum_of(packages: Sequence[_RaplCounter]) -> Callable[[], float]:
    return lambda: sum(package.joules() for package in packages)


class _RaplCounter:
    """A counter of microjoules that begins again at 0 when it is full."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = self._full = 0

    def joules(self) -> float:
        """Since some moment."""
        now = int((self._folder / "energy_uj").read_text())
        if now < self._last:
            self._full += int((self._folder / "max_energy_range_uj").read_text())
        self._last = now
        return (self._full + now) / 1e6
