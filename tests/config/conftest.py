"""A folder with configurations of its own, so that a test can break them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from trm_cli.config.registry import SHIPPED


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped configurations in ./configs of an empty working directory."""
    shutil.copytree(SHIPPED, tmp_path / "configs", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "configs"
