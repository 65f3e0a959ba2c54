"""`--log-level`: log lines go to stderr, results stay alone on stdout, and builders hear of the level."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trm_cli.log_level import VARIABLE, LogLevel, configure_from_environment, configure_logging

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test configures ends with it."""
    monkeypatch.setenv(VARIABLE, "warning")
    yield
    for name in ("trm_cli", "dataset_builders"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).setLevel(logging.NOTSET)


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )


def test_nothing_is_logged_unless_it_is_asked_for() -> None:
    done = run("-m", "trm_cli", "configs", "show", "sudoku-4x4", "--json")
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize(("words", "environment"), [(("--log-level", "INFO"), {}), ((), {VARIABLE: "info"})])
def test_lines_go_to_stderr_with_their_module(words: tuple[str, ...], environment: dict[str, str]) -> None:
    done = run("-m", "trm_cli", *words, "configs", "show", "sudoku-4x4", "--json", **environment)
    assert done.returncode == 0
    assert json.loads(done.stdout)
    read = [line for line in done.stderr.splitlines() if " INFO trm_cli.config.registry: reading " in line]
    assert [Path(line.split()[-1]).name for line in read] == [
        "sudoku-4x4.yaml",
        "cfg_pretrain.yaml",
        "trm_quickstart.yaml",
    ]


def test_a_level_that_does_not_exist_is_a_mistake_of_usage() -> None:
    done = run("-m", "trm_cli", "--log-level", "loud", "configs", "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert "loud" in done.stderr


def test_a_builder_takes_the_level_from_its_environment(tmp_path: Path) -> None:
    words = ("-m", "dataset_builders.maze", "--output-dir", str(tmp_path / "d"))
    small = ("--size", "7", "--train", "2", "--test", "1")
    logged = run(*words, *small, **{VARIABLE: "info"})
    assert logged.returncode == 0, logged.stderr
    assert " INFO trm_cli.data.building.build_directory: " in logged.stderr
    refused = run(*words, *small, **{VARIABLE: "loud"})
    assert refused.returncode == 2
    assert "TRM_LOG_LEVEL must be one of debug, info, warning, error, found `loud`" in refused.stderr


@pytest.mark.usefixtures("unconfigured")
def test_only_the_level_and_what_is_above_it_is_written() -> None:
    lines: list[str] = []
    configure_logging(LogLevel.INFO, lines.append)
    logger = logging.getLogger("trm_cli.somewhere")
    logger.debug("small")
    logger.info("large %d", 1)
    logging.getLogger("elsewhere").error("of another program")
    assert [line.split(" ", 1)[1] for line in lines] == ["INFO trm_cli.somewhere: large 1"]
    assert os.environ[VARIABLE] == "info"


@pytest.mark.usefixtures("unconfigured")
def test_a_second_call_replaces_the_first() -> None:
    first: list[str] = []
    configure_logging(LogLevel.INFO, first.append)
    configure_from_environment()
    logging.getLogger("trm_cli").info("once")
    assert first == []
