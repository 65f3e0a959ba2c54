"""The documentation names things that exist: files, links, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from trm_cli.app import create_app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"(?<![\w./-])(?:trm_cli|configs|dataset_builders|docs|tests|benchmarks)/[\w./*-]*\.[a-z]+\b")
_FUNCTION = re.compile(r"`([\w./]+\.py)` \(`(\w+)`")
_COMMAND = re.compile(r"(?:^|`)trm ([a-z][a-z-]*)", re.MULTILINE)
# Placeholders, and files that a reader is told to write.
_NOT_OURS = {"docs/keys.md", "configs/arch/NAME.yaml", "configs/models/NAME.yaml", "configs/models/reversed.yaml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    commands = getattr(typer.main.get_command(create_app()), "commands", {})
    links = [link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link]
    missing = [link for link in links if link and not (page.parent / link).exists()]
    missing += [name for name in set(_FILE.findall(text)) - _NOT_OURS if not any(ROOT.glob(name))]
    missing += [f"{name} in {file}" for file, name in _FUNCTION.findall(text) if not _defines(ROOT / file, name)]
    missing += [f"trm {name}" for name in set(_COMMAND.findall(text)) if name not in commands]
    assert missing == []


def _defines(path: Path, name: str) -> bool:
    return path.exists() and re.search(rf"^ *(?:def|class) {name}\b", path.read_text(), re.MULTILINE) is not None
