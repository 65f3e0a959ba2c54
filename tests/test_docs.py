"""The documentation names things that exist: files, links, commands."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from benchmarks.hesc_card.results import table
from benchmarks.result_file import read_results
from trm_cli.app import create_app
from trm_cli.commands.options.arguments import split_words
from trm_cli.config import registry
from trm_cli.config.compose import compose

ROOT = Path(__file__).resolve().parents[1]
PAGES = [path for folder in (".", "docs", "examples") for path in sorted((ROOT / folder).glob("*.md"))]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"(?<![\w./-])(?:trm_cli|configs|dataset_builders|docs|tests|benchmarks)/[\w./*-]*\.[a-z]+\b")
_FUNCTION = re.compile(r"`([\w./]+\.py)` \(`(\w+)`")
_COMMAND = re.compile(r"(?:^|`)trm ([a-z][a-z-]*)", re.MULTILINE)
# Placeholders, and files that a reader is told to write.
_NOT_OURS = {"docs/keys.md", "configs/arch/NAME.yaml", "configs/models/NAME.yaml", "configs/models/reversed.yaml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    commands = getattr(program(), "commands", {})
    links = [link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link]
    missing = [link for link in links if link and not (page.parent / link).exists()]
    missing += [name for name in set(_FILE.findall(text)) - _NOT_OURS if not any(ROOT.glob(name))]
    missing += [f"{name} in {file}" for file, name in _FUNCTION.findall(text) if not _defines(ROOT / file, name)]
    missing += [f"trm {name}" for name in set(_COMMAND.findall(text)) if name not in commands]
    assert missing == []


def _defines(path: Path, name: str) -> bool:
    return path.exists() and re.search(rf"^ *(?:def|class) {name}\b", path.read_text(), re.MULTILINE) is not None


_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_INLINE = re.compile(r"`(trm [^`]+)`")
#: In a sentence: a place for something, several words at once, or the middle of a line.
_PATTERN = re.compile(r"\b[A-Z]|[\[|]|\.\.\.")


def written(page: Path) -> list[str]:
    """The command lines of a page: those of its blocks, and those in its sentences that can be typed as they stand."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in _BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    typed = [line for line in map(str.strip, lines) if line.startswith("trm ")]
    return [*typed, *inline(page)]


def inline(page: Path) -> list[str]:
    """The command lines in the sentences of a page that can be typed as they stand."""
    found = _INLINE.findall(page.read_text(encoding="utf-8"))
    return [" ".join(line.split()) for line in found if not _PATTERN.search(line)]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md" and written(page)], ids=lambda page: page.name
)
def test_every_command_line_of_a_page_can_be_typed(page: Path) -> None:
    """Its command, options, model and settings exist. (README's lines are also run, in tests/test_readme.py.)"""
    for line in written(page):
        words = shlex.split(line.partition(" > ")[0], comments=True)[1:]
        given = parsed(words)
        if "words" in given:  # of a model, or of a run, whose settings have the same names
            named, settings = split_words(given["words"])
            if named in registry.names("arch"):
                named, settings = None, [f"arch={named}", *settings]
            theirs = named is None or "/" in named or f"configs/models/{named}.yaml" in _NOT_OURS
            compose(None if theirs else named, settings)


@cache
def program() -> Any:
    return typer.main.get_command(create_app())


def parsed(words: list[str]) -> dict[str, Any]:
    """What the program makes of a command line, without running it; raises what typer raises for a mistake."""
    command, rest = program(), list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    if command is program() or hasattr(command, "commands") or not rest or "--help" in rest:
        return {}
    with command.make_context("trm", rest) as context:
        given: dict[str, Any] = context.params
        return given


_BENCHMARK = re.compile(r"python -m (benchmarks[\w.]*)([^`\n]*)")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "Makefile"], ids=lambda page: page.name)
def test_a_benchmark_that_a_page_names_exists_with_its_options(page: Path) -> None:
    for module, words in _BENCHMARK.findall(page.read_text(encoding="utf-8")):
        path = ROOT / module.replace(".", "/")
        program = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        assert program.is_file(), module
        options = {word.partition("=")[0] for word in words.split() if word.startswith("--")}
        known = set(re.findall(r'add_argument\(\s*"(--[\w-]+)', program.read_text(encoding="utf-8")))
        assert options <= known, f"python -m {module}{words}"


def test_the_card_in_the_documentation_is_that_of_its_results() -> None:
    page = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
    lines = table(read_results(ROOT / "benchmarks/hesc_card/results.json")).splitlines()
    assert [line for line in lines if line not in page] == []


_PLACE = re.compile(r"(\w+) \S+ +(configs/[\w/-]+\.yaml):(\d+)$", re.MULTILINE)


def test_a_line_of_a_file_that_the_readme_shows_holds_that_key() -> None:
    found = _PLACE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(found) == 2
    for key, file, number in found:
        line = (ROOT / file).read_text(encoding="utf-8").splitlines()[int(number) - 1]
        assert line.split(":")[0].strip() == key, f"{file}:{number}"
