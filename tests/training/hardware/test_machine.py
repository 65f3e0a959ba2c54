"""Where a run computes: what is chosen for which GPU, and that every process does what the first one chose."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trm_cli.config.compose import compose
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.hardware import devices
from trm_cli.training.hardware.devices import choose_compile, choose_precision
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.run_files import CONFIG, IDENTITY


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Compilers and packages that are here; a test may take some away."""
    present = {"g++", "clang++", "gcc", "triton"}
    monkeypatch.setattr(devices.shutil, "which", lambda name: name if name in present else None)
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: name if name in present else None)
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    return present


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize(
    ("capability", "precision", "compiled"),
    [((6, 1), "float16", "off"), ((7, 5), "float16", "on"), ((8, 0), "bfloat16", "on"), ((9, 0), "bfloat16", "on")],
)
def test_a_card_gets_what_it_computes_in(
    capability: tuple[int, int], precision: str, compiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    # A T4 says yes to this, and emulates it slowly.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert choose_precision("auto", "cuda").value == precision
    assert choose_compile("auto", "cuda").value == compiled
    assert choose_precision("float32", "cuda") == choose_precision("float32", "cpu")
    assert (choose_compile(True, "cuda").value, choose_compile(False, "cuda").value) == (compiled, "off")
    if compiled == "off":
        assert choose_compile(True, "cuda").reason == "triton needs capability 7.0 or later, this GPU has 6.1"


@pytest.mark.usefixtures("tools")
def test_a_processor_computes_in_float32_and_compiles_nothing_unasked() -> None:
    assert (choose_precision("auto", "cpu").value, choose_compile("auto", "cpu").value) == ("float32", "off")
    assert choose_compile(True, "cpu").value == "on"


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_offered_where_the_cpu_multiplies_in_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: native, raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert ("bfloat16 is 1.2x to 2x faster on this CPU" in choose_precision("auto", "cpu").reason) is native
    assert ("emulated on this CPU" in choose_precision("bfloat16", "cpu").reason) is not native
    assert "emulated" not in choose_precision("float32", "cpu").reason
    monkeypatch.setattr(platform, "machine", lambda: "arm64")  # of which nobody tells
    assert choose_precision("bfloat16", "cpu").reason == "as configured"


@pytest.mark.parametrize("wanted", ["auto", True])
@pytest.mark.parametrize(
    ("absent", "told"),
    [
        ("triton", "torch.compile needs triton, which is not installed: pip install triton"),
        ("gcc", "torch.compile needs a C compiler: no clang or gcc is on the PATH"),
    ],
)
def test_a_card_without_what_compiling_takes_goes_without(
    wanted: bool | str, absent: str, told: str, tools: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    tools.remove(absent)
    assert choose_compile(wanted, "cuda") == devices.Choice("off", told)
    assert choose_compile(False, "cuda").reason == "as configured"


@pytest.mark.usefixtures("tools")
def test_graphs_are_of_a_card_that_has_all_of_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert choose_compile("graphs", "cuda") == devices.Choice("graphs", "as configured")
    assert choose_compile("graphs", "cuda", sharded=True).reason == "CUDA graphs cannot follow sharded weights"
    assert choose_compile("graphs", "cpu") == devices.Choice("on", "there are no CUDA graphs on cpu")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (6, 1))
    assert choose_compile("graphs", "cuda").value == "off"


def test_a_processor_needs_the_compiler_that_torch_would_call(tools: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "mine++")
    assert choose_compile(True, "cpu").reason == "torch.compile needs a C++ compiler: CXX=mine++ is not there"
    tools.add("mine++")
    assert choose_compile(True, "cpu").value == "on"
    monkeypatch.delenv("CXX")
    tools -= {"g++", "clang++"}
    assert choose_compile(True, "cpu").value == "off"
    assert choose_compile("auto", "cpu").reason.startswith("little to gain")


class Second(ProcessGroup):
    """The second of two processes of this machine: it is told what the first one chose."""

    rank, count, local_count = 1, 2, 2

    def __init__(self, word: Machine) -> None:
        self.word = word

    def from_first(self, make: Callable[[], Any]) -> Any:
        return self.word


def test_every_process_keeps_the_digits_of_float32(tmp_path: Path) -> None:
    config = compose("sudoku-4x4", [f"checkpoint_path={tmp_path}", "device=cpu", "threads=1"]).config
    first = Machine.choose(config, 16)
    torch.set_float32_matmul_precision("high")
    try:
        assert Machine.choose(config, 16, Second(first)) == first
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(("processes", "cores", "threads"), [(1, 2, 4), (2, 8, 4), (4, 8, 2), (4, 2, 1)])
def test_a_run_keeps_its_threads_unless_its_processes_would_fight_for_the_cores(
    processes: int, cores: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CONFIG).touch()
    (tmp_path / IDENTITY).write_text(json.dumps({"run": "r", "dataset": {}, "threads": 4}))
    monkeypatch.setattr(devices, "available_cores", lambda: cores)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    process_group = ProcessGroup()
    process_group.count = process_group.local_count = processes
    config = compose("sudoku-4x4", [f"checkpoint_path={tmp_path}", "device=cpu"]).config
    assert Machine.choose(config, 16, process_group).threads.value == str(threads)
