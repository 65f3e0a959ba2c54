"""What a stretch of work takes, by the clocks of the process and the counters of its device."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from trm_cli.training.hardware.usage import Usage, energy_counter, rapl


def _package(root: Path, name: str, microjoules: int, most: int) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{most}\n")
    return folder


def test_the_energy_of_all_packages_is_added_up_and_full_counters_begin_again(tmp_path: Path) -> None:
    first, _ = (
        _package(tmp_path, "intel-rapl:0", 9_000_000, 10_000_000),
        _package(tmp_path, "intel-rapl:1", 500_000, 10_000_000),
    )
    _package(tmp_path, "intel-rapl:0:0", 7_000_000, 10_000_000)  # the cores, which their package counts as well
    joules = rapl(tmp_path)
    assert joules is not None and joules() == pytest.approx(9.5)
    (first / "energy_uj").write_text("2000000\n")
    assert joules() == pytest.approx(12.5)


def test_a_processor_that_does_not_tell_has_no_energy(tmp_path: Path) -> None:
    assert rapl(tmp_path) is None
    (_package(tmp_path, "intel-rapl:0", 1, 2) / "energy_uj").unlink()
    assert rapl(tmp_path) is None


def test_a_gpu_is_asked_by_the_name_that_both_libraries_know(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = iter((1_000, 2_500, 4_000))
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: {"GPU-4ab1": next(counted)}[handle],
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="4ab1"))
    joules = energy_counter(torch.device("cuda"))
    assert joules is not None and (joules(), joules()) == (2.5, 4.0)


def test_a_lap_begins_where_the_last_one_ended() -> None:
    usage = Usage(torch.device("cpu"))
    sum(range(300_000))
    used, again = usage.lap(), usage.lap()
    assert used["cpu_seconds"] > 2 * again["cpu_seconds"] and used["seconds"] > again["seconds"]
