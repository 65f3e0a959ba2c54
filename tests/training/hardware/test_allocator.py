"""What is freed stays with the process: the same blocks, asked for again and again, soon cost no page of the system."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys

import pytest

FAULTS_OF_THE_LAST_BLOCK = """
import json, resource, sys
import torch
from trm_cli.training.hardware.allocator import keep_freed_memory
told = keep_freed_memory() if sys.argv[1] == "keep" else False
counts = []
for _ in range(16):  # the heap grows to the two or three places that such a block takes turns in
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 * 2**20)
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(json.dumps({"told": told, "faults": counts[-1]}))
"""


def faults(word: str) -> dict[str, int]:
    command = [sys.executable, "-c", FAULTS_OF_THE_LAST_BLOCK, word]
    result: dict[str, int] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc can be told")
def test_freed_memory_is_used_again() -> None:
    kept = faults("keep")
    assert kept["told"]
    assert kept["faults"] < 100
    assert faults("default")["faults"] > 1000  # 64 MiB in pages of 4 KiB are 16,384
