"""Process-wide settings: freed memory stays with the process and is used again."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trm_cli.config.compose import compose
from trm_cli.training.hardware.devices import Choice
from trm_cli.training.hardware.machine import Machine

FAULTS_OF_THE_LAST_BLOCK = """
import resource, sys
import torch
from trm_cli.training.hardware.torch_runtime import keep_freed_memory
if sys.argv[1] == "keep": keep_freed_memory()
counts = []
for _ in range(16):  # the heap grows to the two or three places that such a block takes turns in
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 * 2**20)
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(counts[-1])
"""


def faults(word: str) -> int:
    command = [sys.executable, "-c", FAULTS_OF_THE_LAST_BLOCK, word]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc can be told")
def test_freed_memory_is_used_again() -> None:
    assert faults("keep") < 100
    assert faults("default") > 1000  # 64 MiB in pages of 4 KiB are 16,384


@pytest.mark.parametrize(
    ("device", "wanted", "used"), [("cuda", True, True), ("cuda", False, False), ("cpu", True, False)]
)
def test_deterministic_kernels_are_asked_for_on_cuda_alone(
    device: str, wanted: bool, used: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    choices = {"device": Choice(device, ""), "precision": Choice("float32", ""), "compile": Choice("off", "")}
    chosen = Machine(**choices, threads=Choice("1", ""))
    monkeypatch.setattr(Machine, "_choose", classmethod(lambda cls, *arguments: chosen))
    try:
        config = compose("sudoku-4x4", [f"deterministic={wanted}".lower(), f"checkpoint_path={tmp_path}"]).config
        Machine.choose(config, 16)
        assert torch.are_deterministic_algorithms_enabled() is used
        assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if used else None)
    finally:
        torch.use_deterministic_algorithms(False)
