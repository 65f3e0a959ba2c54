"""How much memory is free, read from the files in which a system says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.runs import prepare
from trm_cli.training import loop
from trm_cli.training.hardware.resources import MeasuredMemory, free_host_memory, measured_memory
from trm_cli.training.signals import StopRequest


def test_what_is_free_is_the_smaller_of_machine_and_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16 kB\nMemAvailable:       8 kB\n")
    assert free_host_memory(meminfo, tmp_path) == 8192
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert free_host_memory(meminfo, tmp_path) == 8192
    (tmp_path / "memory.max").write_text("5000\n")
    assert free_host_memory(meminfo, tmp_path) == 4000
    (tmp_path / "memory.stat").write_text("anon 200\nfile 800\ninactive_file 700\nactive_file 100\n")
    assert free_host_memory(meminfo, tmp_path) == 4700, "files that are merely kept in memory give way"


def test_a_card_tells_what_an_update_has_taken(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gib = 2**30
    numbers = {
        **{"max_memory_allocated": 3 * gib, "max_memory_reserved": 4 * gib, "mem_get_info": (9 * gib, 15 * gib)},
        **{"memory_allocated": gib, "memory_reserved": 3 * gib},
    }
    for name, number in numbers.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, number=number: number)
    assert measured_memory(torch.device("cpu")) is None
    told = measured_memory(torch.device("cuda"))
    assert told == MeasuredMemory(taken=3 * gib, kept=gib, reserved=4 * gib, available=12 * gib, total=15 * gib)
    # 1 GiB stays, a quarter of the other two is gradients; 10.8 GiB can be had.
    assert told.rows_that_fit(6, gib // 2) == int(6 * (10.8 - 1.5) / 1.5)
    assert told.rows_that_fit(6, 12 * gib) == 0
    monkeypatch.setattr(loop, "measured_memory", lambda device: told)
    run, recorder = prepare(dataset, tmp_path / "run")
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=2)
    memory = [note for note in recorder.notes if note.startswith("memory, measured")]
    assert memory == [
        "memory, measured: an update of 8 rows at once takes 3.0 GiB at most, 4.0 GiB of 15.0 GiB are reserved; "
        f"{told.rows_that_fit(8, 4 * sum(weight.numel() for weight in run.state.trunk_parameters()))} rows would fit"
    ]
