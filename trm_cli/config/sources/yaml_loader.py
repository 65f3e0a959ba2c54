"""Parse YAML text into plain data, with the place of every key, and every problem at once.

Scalars follow YAML 1.2 (see scalars.py). Parsing stops at the node graph, which libyaml builds where PyYAML was
compiled with it: no constructor and no tag of a document ever runs. Anchors work; merge keys, tags and recursion are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trm_cli.config.sources.scalars import describe, plain_scalar
from trm_cli.errors import Problem
from trm_cli.text_encoding import decode

Key = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_NODES = 20_000  # what a document may hold after its aliases are written out
MAX_DEPTH = 32
MAX_OPENED = 1_000  # collections that a text may open before it is refused unread

_REFUSED = object()  # stands for a value with a problem: its key is left out, so that nobody complains twice
_PLAIN = "tag:plain"
_TEXT = "tag:yaml.org,2002:str"
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Location:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: its data, the place of each key (or list item), and its problems.

    `locations[()]` is the start of the document. A document with problems holds whatever could still be read.
    """

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    locations: Mapping[Key, Location] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, key: Key) -> str:
        """Return `file:line:column` of a key, or of the nearest enclosing one that was written."""
        while key and key not in self.locations:
            key = key[:-1]
        return str(self.locations.get(key, Location(self.name, 1, 1)))


def load_yaml(path: Path, name: str | None = None) -> Document:
    """Read a file; what is wrong with the file itself is a problem of the document as well."""
    shown = name or str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return _unreadable(shown, f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if len(raw) > MAX_BYTES:
        return _unreadable(shown, f"is larger than {MAX_BYTES:,} bytes")
    try:
        text = decode(raw)
    except UnicodeDecodeError as error:
        line, column = _position(raw[: error.start].decode("utf-8", "replace"))
        message, hint = f"byte 0x{raw[error.start]:02x} is not UTF-8", "save the file in the UTF-8 encoding"
        return Document(shown, problems=[Problem(f"{shown}:{line}:{column}", message, hint=hint)])
    return parse_yaml(text, shown)


def _unreadable(name: str, message: str) -> Document:
    return Document(name, problems=[Problem(f"{name}:1:1", message)])


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text whose top level must be a mapping; never raises for what the text says."""
    root, problem = _compose(text, name)
    if problem is not None:
        return Document(name, problems=[problem])
    if root is None:
        return _unreadable(name, "the file is empty; expected `key: value` lines")
    reader = _Reader(name)
    if not isinstance(root, yaml.MappingNode):
        message = f"expected `key: value` lines, found {_KINDS.get(type(root), 'something else')}"
        return Document(name, problems=[Problem(str(reader.location(root)), message)])
    reader.locations[()] = reader.location(root)
    data = reader.mapping(root, ())
    return Document(name, data, reader.locations, reader.problems)


def parse_scalar(text: str) -> Any:
    """Parse the value of an override: `[a, b]`, `{a: 1}` and quoted text as YAML, anything else as a scalar.

    Raises ValueError with a sentence where the text is none of these.
    """
    if found := _UNPRINTABLE.search(text):
        raise ValueError(f"character U+{ord(found.group()):04X} is not allowed")
    stripped = text.strip()
    if stripped[:1] not in ("[", "{", '"', "'"):
        return plain_scalar(stripped)
    root, problem = _compose(stripped, "value")
    if problem is not None:
        raise ValueError(problem.message)
    reader = _Reader("value")
    value = None if root is None else reader.value(root, ())
    if reader.problems:
        raise ValueError(reader.problems[0].message)
    return value


_Base: Any = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader


class _Composer(_Base):  # type: ignore[misc]
    """Builds nodes. Marks every unquoted, untagged scalar as plain, so that it can be told from `!!str 5` and "5"."""


_Composer.add_implicit_resolver(_PLAIN, re.compile(""), None)
_KINDS = {yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}


def _compose(text: str, name: str) -> tuple[yaml.Node | None, Problem | None]:
    """Parse text into a node graph, or return the first problem that stops the parser."""
    if found := _UNPRINTABLE.search(text):
        line, column = _position(text[: found.start()])
        message = f"character U+{ord(found.group()):04X} is not allowed in YAML"
        return None, Problem(f"{name}:{line}:{column}", message)
    too_deep = Problem(f"{name}:1:1", "lists and mappings are nested too deeply")
    if _deepest(text) > MAX_OPENED:  # libyaml's node builder recurses in C: an absurd depth must not reach it
        return None, too_deep
    try:
        return _Composer(text).get_single_node(), None
    except yaml.MarkedYAMLError as error:
        return None, _damage(text, name, error)
    except yaml.YAMLError as error:
        return None, Problem(f"{name}:1:1", f"is not YAML: {error}")
    except RecursionError:
        return None, too_deep


def _damage(text: str, name: str, error: yaml.MarkedYAMLError) -> Problem:
    lines = text.splitlines()
    mark = error.problem_mark or error.context_mark
    at_end = mark is not None and mark.line >= len(lines) - 1 and mark.column >= len(lines[-1] if lines else "")
    if error.context_mark and (mark is None or mark.line >= len(lines) or at_end):
        mark = error.context_mark  # what was opened and never closed says more than the end of the file
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    for number, content in enumerate(lines[:line], start=1):
        indent = content[: len(content) - len(content.lstrip())]
        if "\t" in indent:
            where = f"{name}:{number}:{indent.index(chr(9)) + 1}"
            return Problem(where, "a tab in the indentation", hint="YAML indents with spaces")
    reason = (error.problem or error.context or "cannot be parsed").strip()
    context = f", {error.context}" if error.context and error.problem else ""
    return Problem(f"{name}:{line}:{column}", f"is not YAML: {reason}{context}")


def _deepest(text: str) -> int:
    """Compute an upper bound of how deep collections nest in a text: libyaml recurses that deep, in C."""
    lines = text.splitlines()
    dashes = max((line.count("- ") + line.count("? ") for line in lines), default=0)
    indent = max((len(line) - len(line.lstrip(" ")) for line in lines), default=0)
    return max(dashes, indent, text.count("["), text.count("{"))


def _position(before: str) -> tuple[int, int]:
    """Return line and column, from 1, of the character that follows `before`."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


class _Reader:
    """Turns nodes into data, remembering places and collecting problems instead of stopping at the first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.locations: dict[Key, Location] = {}
        self.problems: list[Problem] = []
        self._open: set[int] = set()  # the collections that enclose the present node
        self._left = MAX_NODES

    def location(self, node: yaml.Node) -> Location:
        """Return the place where a node starts."""
        return Location(self.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def value(self, node: yaml.Node, path: Key) -> Any:
        """Convert a node to data; _REFUSED where it has a problem."""
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            return self._problem(node, f"the tag {node.tag} is not supported", path)
        self._left -= 1
        if id(node) in self._open:
            return self._problem(node, "this anchor contains itself", path)
        if len(path) >= MAX_DEPTH:
            return self._problem(node, "lists and mappings are nested too deeply", path)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, path)
            items = [self._item(child, (*path, index)) for index, child in self._bounded(node, path)]
            return [item for item in items if item is not _REFUSED]
        finally:
            self._open.discard(id(node))

    def mapping(self, node: yaml.MappingNode, path: Key) -> dict[str, Any]:
        """Convert a mapping whose keys are text, each written once."""
        data: dict[str, Any] = {}
        self._open.add(id(node))
        for _, (key_node, value_node) in self._bounded(node, path):
            key = self._key(key_node, value_node, path)
            if key is _REFUSED:
                continue
            here = (*path, key)
            if here in self.locations:
                first = self.locations[here].line
                self._problem(key_node, f"duplicate key `{dotted(here)}` (first at line {first})", here)
                continue
            self.locations[here] = self.location(key_node)
            value = self.value(value_node, here)
            if value is not _REFUSED:
                data[key] = value
        self._open.discard(id(node))
        return data

    def _bounded(self, node: yaml.Node, path: Key) -> Iterator[tuple[int, Any]]:
        for index, child in enumerate(node.value):
            self._left -= 1
            if self._left < 0:
                if self._left == -1:
                    self._problem(node, f"more than {MAX_NODES:,} values once the aliases are written out", path)
                return
            yield index, child

    def _item(self, node: yaml.Node, path: Key) -> Any:
        self.locations[path] = self.location(node)
        return self.value(node, path)

    def _key(self, node: yaml.Node, value: yaml.Node, path: Key) -> Any:
        """Return the text of a key, or _REFUSED."""
        if not isinstance(node, yaml.ScalarNode):
            return self._problem(node, f"a key must be a word, found {_KINDS[type(node)]}", path)
        if node.tag == _PLAIN and node.value == "<<":
            return self._problem(node, "merge keys (<<) are not supported: write the keys out", path)
        key = self._scalar(node, path)
        if isinstance(key, str):
            # `{a:1}` is YAML for the key "a:1" without a value; nobody means that.
            if ":" in key and isinstance(value, yaml.ScalarNode) and value.value == "" and value.tag == _PLAIN:
                return self._problem(node, f"`{key}` needs a space after the colon", path)
            return key
        if key is _REFUSED:
            return key
        return self._problem(node, f"a key must be a word, found {describe(key)}", path)

    def _scalar(self, node: yaml.ScalarNode, path: Key) -> Any:
        if node.tag == _TEXT:
            return node.value
        if node.tag != _PLAIN:
            return self._problem(node, f"the tag {node.tag} is not supported", path)
        try:
            return plain_scalar(node.value)
        except ValueError as error:
            return self._problem(node, str(error), path)

    def _problem(self, node: yaml.Node, message: str, path: Key) -> Any:
        """Record a problem, and return _REFUSED in place of the value."""
        self.problems.append(Problem(str(self.location(node)), message, key=dotted(path)))
        return _REFUSED


def dotted(path: Key) -> str:
    """Join a key: ("arch", "hidden_size") to "arch.hidden_size"."""
    return ".".join(str(part) for part in path)
