"""Find configuration files by name, and check the entries of the model registry.

A name is looked for as an exact path, then in ./configs, then among the configurations that come with the program. An
entry of `configs/models/` joins an architecture, a dataset builder with its arguments, a run directory, and
(`overrides:`) the hyper-parameters that belong to this model.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from trm_cli.config.sources.scalars import describe
from trm_cli.config.sources.yaml_loader import Document, load_yaml
from trm_cli.errors import Problem
from trm_cli.paths import is_dir, is_file, mistyped_path
from trm_cli.shell import command_line

_PACKAGE = Path(__file__).resolve().parents[1]
# In a wheel the configurations lie inside the package, in a clone beside it.
SHIPPED = _PACKAGE / "_configs" if is_dir(_PACKAGE / "_configs") else _PACKAGE.parent / "configs"
DEFAULT_CONFIG = "cfg_pretrain"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegistryEntry:
    """One entry of the model registry: its dataset builder, architecture, run directory and overrides.

    `dataset_builder` is a file (`dataset_builders/sudoku.py`) or a module (`dataset_builders.sudoku`).
    """

    name: str
    title: str
    config: str
    architecture: str
    dataset_builder: str
    dataset_args: dict[str, Any]
    checkpoint_path: str
    overrides: dict[str, Any] = field(default_factory=dict)
    path: str = ""
    places: dict[str, str] = field(default_factory=dict)  # where each of dataset_args was written

    @property
    def word(self) -> str:
        """What names it on a command line: its name where that leads to its file, else the path of the file."""
        found = find("models", self.name)
        return self.name if not self.path or (found is not None and shown(found) == self.path) else self.path


_ENTRY_KEYS = tuple(one.name for one in fields(RegistryEntry) if one.name not in ("name", "path", "places"))


def directories(kind: str) -> list[Path]:
    """List the folders that are searched for a kind ("", "arch", "models") of configuration, in order."""
    folders = [Path("configs") / kind, SHIPPED / kind]
    return folders[1:] if folders[0].resolve() == folders[1].resolve() else folders


def names(kind: str) -> list[str]:
    """List every name that can be used for a kind, sorted."""
    found: set[str] = set()
    for folder in directories(kind):
        if is_dir(folder):
            found.update(path.stem for path in folder.glob("*.yaml"))
    return sorted(found)


def find(kind: str, name: str) -> Path | None:
    """Find the file of a name or path; None where there is none."""
    if not name or "\0" in name:
        return None
    if name.endswith((".yaml", ".yml")):
        exact = Path(name)
        if is_file(exact):
            return exact
        name = Path(name).stem if "/" not in name else ""
    elif "/" in name or "\\" in name:
        exact = Path(f"{name}.yaml")
        return exact if is_file(exact) else None
    for folder in directories(kind):
        path = folder / f"{name}.yaml"
        if name and is_file(path):
            return path
    return None


def not_found(kind: str, name: str, where: str, key: str = "") -> Problem:
    """Report an unknown name, with the nearest known name or all names."""
    noun = {"arch": "architecture", "models": "model"}.get(kind, "configuration")
    known = names(kind)
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or "/" in name:
        near = nearest(path.name, [other.name for other in path.parent.glob("*.y*ml")]) if is_dir(path.parent) else None
        near = str(path.parent / near) if near else nearest(path.stem, known)
        hint = f"did you mean `{near}`?" if near else f"those that come with trm: {', '.join(known)}"
        if is_file(path / "run.json"):
            hint = f"it is a run: `{command_line('trm', 'resume', name)}` continues it"
        hint = mistyped_path(name) or hint
        what = "is a directory, not a YAML file" if is_dir(path) else "does not exist"
        return Problem(where, f"the {noun} file {name} {what}", key=key, hint=hint)
    near = nearest(name.rsplit("/", 1)[-1].removesuffix(".yaml"), known)
    hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(known) or 'none'}"
    if near and len(others := [other for other in known if other.startswith(name.split("-")[0] + "-")]) > 1:
        hint += f" there are: {', '.join(others)}"
    if kind == "models" and name == "quickstart":
        hint = "`trm quickstart` is a command of its own, and chooses the model itself"
    if is_file(path):
        return Problem(where, f"{name} is not a {noun} file: these are YAML, and end in .yaml", key=key, hint=hint)
    return Problem(where, f"no {noun} is called {describe(name).removeprefix('the string ')}", key=key, hint=hint)


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Find the known name that is most similar to a wrong one."""
    import difflib  # only a mistake pays for it

    lowered = {candidate.lower(): candidate for candidate in known}
    plain = name.lower().replace("-", "_")
    if plain in lowered:
        return lowered[plain]
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def shown(path: Path) -> str:
    """Format a path for messages: relative to the working directory, or to the program's own configurations."""
    if path.is_relative_to(SHIPPED):
        return str(Path("configs", path.relative_to(SHIPPED)))
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def load(path: Path) -> Document:
    """Read a configuration file under the name that messages use."""
    _log.info("reading %s", path)
    return load_yaml(path, shown(path))


def check_entry(document: Document) -> list[Problem]:
    """Check the keys and types of a registry entry; `dataset_args` and `overrides` are read later."""
    problems = []
    for key, value in document.data.items():
        if key not in _ENTRY_KEYS:
            problems.append(_unknown_entry_key(document, key))
        elif key in ("dataset_args", "overrides") or (key == "checkpoint_path" and value is None):
            continue
        elif not isinstance(value, str) or not value:
            message = f"`{key}` must be a string, found {describe(value)}"
            problems.append(Problem(document.where((key,)), message, key=key))
    overrides = document.data.get("overrides")
    if overrides is not None and not isinstance(overrides, dict):
        message = f"`overrides` must be a mapping of run keys, found {describe(overrides)}"
        problems.append(Problem(document.where(("overrides",)), message, key="overrides"))
    if document.problems and not document.data:
        return problems
    for key in ("architecture", "dataset_builder", "dataset_args"):
        if (key,) not in document.locations:
            problems.append(Problem(document.where(()), f"`{key}` is missing from this model", key=key))
    return problems


def _unknown_entry_key(document: Document, key: str) -> Problem:
    from trm_cli.config.schema import RunConfig

    near = nearest(key, _ENTRY_KEYS)
    hint = f"did you mean `{near}`?" if near else f"a model has: {', '.join(_ENTRY_KEYS)}"
    if key in RunConfig.model_fields:
        hint = f"`{key}` is a key of a run: write it below `overrides:`"
    return Problem(document.where((key,)), f"unknown key `{key}`", key=key, hint=hint)
