"""List all models and architectures, and check configurations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trm_cli.config import registry
from trm_cli.config.compose import compose, load_run_config, sorted_problems
from trm_cli.config.sources.yaml_loader import Document
from trm_cli.errors import ConfigError, Problem
from trm_cli.paths import is_dir, is_file


@dataclass(frozen=True)
class ModelLine:
    """One model of `trm configs list`, as far as its file can be read."""

    name: str
    title: str
    architecture: str
    data: str
    checkpoint_path: str
    path: str


@dataclass(frozen=True)
class ArchitectureLine:
    """One architecture of `trm configs list`; the summary is the first comment of its file."""

    name: str
    family: str
    summary: str
    path: str


def models() -> list[ModelLine]:
    """List every model that can be named; a damaged file is listed with what can still be read of it."""
    lines = []
    for name in registry.names("models"):
        document = _document("models", name)
        arguments = document.data.get("dataset_args")
        data = arguments.get("output_dir", "?") if isinstance(arguments, dict) else "?"
        architecture = str(document.data.get("architecture", "?"))
        title = str(document.data.get("title", name))
        run = str(document.data.get("checkpoint_path", "?"))
        lines.append(ModelLine(name, title, architecture, str(data), run, document.name))
    return lines


def architectures() -> list[ArchitectureLine]:
    """List every architecture that can be named."""
    lines = []
    for name in registry.names("arch"):
        path = registry.find("arch", name)
        document = _document("arch", name)
        family = str(document.data.get("family", "?"))
        lines.append(ArchitectureLine(name, family, _opening_comment(path), document.name))
    return lines


def check_all(names: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """Compose each named model, architecture or file (all that can be named when there are none)."""
    if not names:
        names = [*registry.names("models"), *registry.names("arch")]
    problems: list[Problem] = []
    for name in names:
        problems += check(name)
    return list(names), sorted_problems(problems)


def check(name: str) -> list[Problem]:
    """Find the problems of one model, architecture, run or file of defaults."""
    try:
        if name not in registry.names("models") and name in registry.names("arch"):
            compose(None, [f"arch={name}"])
        elif is_file(path := Path(name)) or is_file(path / "config.yaml"):
            _check_file(path)
        else:
            compose(name)
    except ConfigError as error:
        return list(error.problems)
    return []


def _check_file(path: Path) -> None:
    """Compose a file as a run's config.yaml, an architecture, a file of defaults or a model, as its keys say."""
    if is_dir(path):
        load_run_config(path)
        return
    data = registry.load(path).data
    if isinstance(data.get("arch"), dict):
        load_run_config(path)
    elif "family" in data and "architecture" not in data:
        compose(None, [f'arch="{path}"'])
    elif isinstance(data.get("arch"), str) and "architecture" not in data:
        compose(None, (), config=str(path))  # a file of defaults is right when a model on top of it is
    else:
        compose(str(path))


def _document(kind: str, name: str) -> Document:
    path = registry.find(kind, name)
    return registry.load(path) if path is not None else Document(name)


def _opening_comment(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            first = file.readline().strip()
    except OSError:
        return ""
    return first.lstrip("# ") if first.startswith("#") else ""
