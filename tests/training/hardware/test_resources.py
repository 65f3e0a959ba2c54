"""How much memory is free, read from the files in which a system says so."""

from __future__ import annotations

from pathlib import Path

from trm_cli.training.hardware.resources import free_host_memory


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
