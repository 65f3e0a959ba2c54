"""Short forms of the fuzzes in `benchmarks/`: no traceback, no wait, exit codes as documented."""

from __future__ import annotations

from pathlib import Path

from benchmarks.fuzz import commands, sources


def test_mutated_configurations_and_command_lines(tmp_path: Path) -> None:
    commands.make_folder(tmp_path)
    found = commands.fuzz(tmp_path, range(10_000, 10_150), 30.0)
    assert found.faults == []
    assert {code for _, code in found.ends} >= {0, 2, 4}


def test_hostile_sources_of_every_builder() -> None:
    found = sources.fuzz(range(len(sources.TARGETS) * 3), 30.0)
    assert found.faults == []
    assert len({name for name, _ in found.ends}) == len(sources.TARGETS)
