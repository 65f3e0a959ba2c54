"""What is compiled for the first time is said, once; what is found in the cache is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from trm_cli.data import numba_jit

SOURCE = """
from trm_cli.data.numba_jit import compiled

@compiled
def twice(value: int) -> int:
    return 2 * value

@compiled
def thrice(value: int) -> int:
    return 3 * value
"""


def load(path: Path) -> Any:
    """The module at `path`, as a process that begins would have it."""
    spec = importlib.util.spec_from_file_location("loops", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    numba_jit._say_that_it_compiles.cache_clear()
    return module


def test_the_first_compilation_alone_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "loops.py"
    path.write_text(SOURCE)
    loops = load(path)
    assert (loops.twice(2), loops.thrice(2)) == (4, 6)
    said = "compiling for this processor: some ten seconds, the first time only\n"
    assert capfd.readouterr().err == said
    loops = load(path)
    assert (loops.twice(2), loops.thrice(2)) == (4, 6)
    assert capfd.readouterr().err == ""
    assert loops.twice(2.5) == 5
    assert capfd.readouterr().err == said
