"""Durations and sizes as they stand on screens."""

from __future__ import annotations

import pytest

from trm_cli.units import disk_size, duration, memory_size, seconds_of


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (187, "3:07 min"), (18_720, "5:12 h"), (183_600, "2 d 3 h")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (5_000, "5.0 kB"), (13.66e9, "13.7 GB"), (2e12, "2,000.0 GB")],
)
def test_sizes_on_disk(size: float, shown: str) -> None:
    assert disk_size(size) == shown


@pytest.mark.parametrize(
    ("size", "shown"), [(300_000, "0.3 MiB"), (123 << 20, "123 MiB"), (1 << 30, "1.0 GiB"), (13 << 30, "13.0 GiB")]
)
def test_sizes_in_memory(size: float, shown: str) -> None:
    assert memory_size(size) == shown


def test_seconds_are_read_back() -> None:
    assert [seconds_of(text) for text in ("11h", "10m", "90s", "1h30m", "0.5h", "2min")] == [
        39_600, 600, 90, 5_400, 1_800, 120,
    ]  # fmt: skip
    for wrong in ("", "10", "soon", "0s", "1m1h", "-5m", "9" * 400 + "h"):
        with pytest.raises(ValueError, match="is not a time"):
            seconds_of(wrong)
