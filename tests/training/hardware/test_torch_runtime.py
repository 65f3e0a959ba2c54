"""Process-wide settings: freed memory stays with the process and is used again."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc can be told")
def test_freed_memory_is_used_again() -> None:
    assert faults("keep") < 100
    assert faults("default") > 1000  # 64 MiB in pages of 4 KiB are 16,384
