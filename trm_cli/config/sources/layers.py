"""Merge the values of all sources into one tree that remembers the place of every value."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trm_cli.config.sources.overrides import Override
from trm_cli.config.sources.yaml_loader import Document, Key

_COLUMN = re.compile(r"(:\d+):\d+$")


@dataclass
class Layer:
    """Values of one source (a file, or all overrides) as a nested dict, and where each of them stands."""

    kind: str  # "config" | "arch" | "model" | "override" | "run"
    values: dict[str, Any]
    where: Callable[[Key], str]

    def value(self, key: Key) -> Any:
        """What the layer says of a key that it has."""
        found: Any = self.values
        for part in key:
            found = found[part]
        return found

    @classmethod
    def of_document(cls, document: Document, kind: str, *, below: Key = (), without: Sequence[str] = ()) -> Layer:
        """Make a layer of a file, or of the mapping below one of its keys."""
        data: Any = document.data
        for part in below:
            data = data[part]
        values = {name: value for name, value in data.items() if name not in without}
        return cls(kind, values, lambda key: document.where((*below, *key)))

    @classmethod
    def of_architecture(cls, document: Document, name: str, where: str) -> Layer:
        """Make a layer of an architecture's file, under the name by which it was chosen."""

        def place(key: Key) -> str:
            return where if key == ("arch", "name") else document.where(key[1:])

        return cls("arch", {"arch": {**document.data, "name": name}}, place)

    @classmethod
    def of_overrides(cls, overrides: Sequence[Override]) -> Layer:
        """Make a layer of the command line; where a key is given twice, the later word wins."""
        values: dict[str, Any] = {}
        places: dict[Key, str] = {}
        for override in overrides:
            group = values
            for part in override.key[:-1]:
                inner = group.get(part)
                if not isinstance(inner, dict):
                    inner = group[part] = {}
                group = inner
            last, old = override.key[-1], group.get(override.key[-1])
            both = isinstance(old, dict) and isinstance(override.value, dict)
            group[last] = {**old, **override.value} if isinstance(old, dict) and both else override.value
            places[override.key] = override.where

        def place(key: Key) -> str:
            for length in range(len(key), 0, -1):
                if key[:length] in places:
                    return places[key[:length]]
            return next((where for known, where in places.items() if known[: len(key)] == key), "override")

        return cls("override", values, place)


_SCHEMA = Layer("default", {}, lambda _: "default")


class Tree:
    """The merged values, and for each leaf the layer that it came from."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.layers: list[Layer] = []
        self._origin: dict[Key, Layer] = {}

    def add(self, layer: Layer) -> None:
        """Put a layer on top: groups are merged, everything else is replaced."""
        self.layers.append(layer)
        self._merge(self.values, layer.values, (), layer)

    def _merge(self, into: dict[str, Any], values: dict[str, Any], path: Key, layer: Layer) -> None:
        for name, value in values.items():
            here = (*path, name)
            # Only the architecture is a group; a mapping anywhere else is a wrong value, reported as such.
            if isinstance(value, dict) and here == ("arch",):
                group = into.get(name)
                if not isinstance(group, dict):
                    group = into[name] = {}
                self._merge(group, value, here, layer)
            else:
                into[name] = value
                self._origin[here] = layer

    def origin(self, key: Key) -> Layer | None:
        """Return the layer that the value of a key comes from."""
        return self._origin.get(key)

    def written(self) -> list[Key]:
        """List every key that has a value."""
        return list(self._origin)

    def where(self, key: Key) -> str:
        """Return the place of a key's value, or of the nearest group around it."""
        for length in range(len(key), 0, -1):
            layer = self._origin.get(key[:length])
            if layer is not None:
                return layer.where(key)
        return next((layer.where(key) for layer in self.layers), "configuration")

    def set_default(self, key: tuple[str, ...], value: Any) -> None:
        """Add a value that no layer gave, so that `${...}` finds it."""
        group = self.values
        for part in key[:-1]:
            group = group[part]
        if key[-1] not in group:
            group[key[-1]] = value
            self._origin[key] = _SCHEMA

    def sources(self) -> dict[str, str]:
        """Map each key to its source: file:line, override or default."""
        found = {}
        for key, layer in self._origin.items():
            found[".".join(str(part) for part in key)] = _COLUMN.sub(r"\1", layer.where(key))
        return found
