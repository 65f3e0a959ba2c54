"""A sink may fail, and the run goes on; W&B works offline without an account and never asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trm_cli.training.sinks import Guarded, WandbSink, wandb_mode


class Broken:
    """Works `good` times."""

    def __init__(self, good: int) -> None:
        self.left = good

    def write(self, step: int, record: dict[str, Any]) -> None:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the service is gone\nwith details")

    def close(self) -> None:
        raise AssertionError("a sink that is switched off is not closed")


def test_a_failing_sink_is_told_once_and_switched_off() -> None:
    told: list[str] = []
    sink = Guarded("Service", lambda: Broken(2), told.append)
    for step in range(6):
        sink.write(step, {})
    sink.close()
    assert told == ["Service failed and is switched off: RuntimeError: the service is gone"]


def test_a_sink_that_does_not_open_is_told_and_ignored() -> None:
    told: list[str] = []

    def refuse() -> Broken:
        raise OSError("no room")

    sink = Guarded("Service", refuse, told.append)
    sink.write(1, {})
    assert told == ["Service failed and is switched off: OSError: no room"]


@pytest.mark.parametrize(
    ("wanted", "environment", "mode"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": "x" * 40}, "online"),
        ("auto", {"WANDB_MODE": "disabled"}, "disabled"),
        ("auto", {"WANDB_MODE": "dryrun"}, "offline"),
        ("disabled", {"WANDB_API_KEY": "x" * 40}, "disabled"),
    ],
)
def test_the_mode_is_decided_without_asking(
    wanted: str, environment: dict[str, str], mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wandb_mode(wanted) == mode


@pytest.mark.slow
def test_wandb_writes_an_offline_run_without_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    sink = WandbSink(mode="offline", project="trm", run_id="abc123", name="run", directory=tmp_path, config={"a": 1})
    sink.write(1, {"kind": "train", "step": 1, "loss": 2.0})
    sink.close()
    (run,) = (tmp_path / "wandb").glob("offline-run-*-abc123")
    assert (run / "run-abc123.wandb").stat().st_size > 0
