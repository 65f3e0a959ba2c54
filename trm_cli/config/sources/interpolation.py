"""Resolve `${path.to.key}` inside values over the merged configuration."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from trm_cli.config.sources.scalars import as_yaml
from trm_cli.config.sources.yaml_loader import Key, dotted
from trm_cli.errors import Problem

_REFERENCE = re.compile(r"\$\{([^${}]*)\}")

MAX_TEXT = 10_000


class _Unresolved(Exception):
    """A reference that cannot be resolved; the caller adds its place."""


def resolve_references(root: dict[str, Any], where: Callable[[Key], str]) -> tuple[dict[str, Any], list[Problem]]:
    """Replace every `${...}`. A value that is one reference takes the type of what it names.

    A reference that cannot be resolved stays as it is and becomes a problem at the place where it was written.
    """
    problems: list[Problem] = []

    def walk(value: Any, path: Key) -> Any:
        if isinstance(value, dict):
            return {name: walk(child, (*path, name)) for name, child in value.items()}
        if isinstance(value, list | tuple):
            return [walk(child, (*path, index)) for index, child in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        try:
            return _expand(value, root, (dotted(path),))
        except _Unresolved as error:
            problems.append(Problem(where(path), str(error), key=dotted(path)))
            return value

    return walk(root, ()), problems


def _expand(text: str, root: dict[str, Any], chain: tuple[str, ...]) -> Any:
    whole = _REFERENCE.fullmatch(text)
    if whole:
        return _lookup(whole[1].strip(), root, chain)

    def insert(match: re.Match[str]) -> str:
        value = _lookup(match[1].strip(), root, chain)
        if isinstance(value, dict | list | tuple):
            raise _Unresolved(f"`{match[0]}` is not a single value and cannot stand inside a string")
        return as_yaml(value)

    expanded = _REFERENCE.sub(insert, text)
    if "${" in expanded:
        raise _Unresolved(f"`{text}` opens `${{` without a key and `}}`")
    if len(expanded) > MAX_TEXT:
        raise _Unresolved(f"`{text[:40]}` grows beyond {MAX_TEXT:,} characters")
    return expanded


def _lookup(name: str, root: dict[str, Any], chain: tuple[str, ...]) -> Any:
    if name in chain:
        raise _Unresolved(f"`${{{name}}}` refers to itself: {' -> '.join((*chain[chain.index(name) :], name))}")
    value: Any = root
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise _Unresolved(f"`${{{name}}}` names no key of the configuration")
        value = value[part]
    if isinstance(value, str) and "${" in value:
        return _expand(value, root, (*chain, name))
    if isinstance(value, dict | list | tuple) and "${" in str(value):
        raise _Unresolved(f"`${{{name}}}` names a group that holds references itself")
    return value
