"""Describe configuration files as JSON Schema, which editors use to complete keys and to mark mistakes.

The files of `configs/schemas/` hold what `SCHEMAS` makes; each shipped YAML file names its own in a comment that
editors read (`MARK`). They are written by `make schemas`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trm_cli.config.registry import RegistryEntry
from trm_cli.config.schema import RunConfig

#: How a YAML file names its schema; what follows is a path or an address without spaces.
MARK = "# yaml-language-server: $schema="

_ENTRY = {
    "title": "what it is, in a line",
    "config": "file of defaults",
    "architecture": "file of configs/arch/, by its name",
    "dataset_builder": "program that builds the dataset",
    "checkpoint_path": "directory of the run",
}
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


def model_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file of `configs/models/`."""
    run, families = _run_and_families()
    for family in families.values():  # below `overrides` a few keys of the architecture are enough
        family.pop("required", None)
    keys = {name: field for name, field in run.items() if name not in ("model", "data_paths", "checkpoint_path")}
    keys["arch"] = {"type": "object", "anyOf": _references(families)}
    flat = {"type": ["string", "number", "boolean", "null", "array"], "items": {"type": ["string", "number"]}}
    arguments = {
        "description": "flags of the dataset builder",
        "type": ["object", "array"],
        "properties": {"output_dir": {"type": "string", "description": "where the dataset is written"}},
        "additionalProperties": flat,
    }
    overrides = {"type": ["object", "null"], "additionalProperties": False, "properties": keys}
    entry: dict[str, Any] = {name: {"type": "string", "description": words} for name, words in _ENTRY.items()}
    assert {*entry, "dataset_args", "overrides"} <= {*RegistryEntry.__dataclass_fields__}
    return _document(
        "a model of trm",
        required=["architecture", "dataset_builder", "dataset_args"],
        properties={**entry, "dataset_args": arguments, "overrides": overrides},
        families=families,
    )


def architecture_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file of `configs/arch/`: the keys of the family that it names."""
    _, families = _run_and_families()
    for family in families.values():
        del family["properties"]["name"]  # that of its file
        family["required"] = ["family"]
    return {**_document("an architecture of trm", families=families), "oneOf": _references(families)}


def defaults_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file of defaults, such as `configs/cfg_pretrain.yaml`."""
    run, _ = _run_and_families()
    run["arch"] = {"type": "string", "description": _ENTRY["architecture"]}
    return _document("the defaults of trm", properties=run)


#: Kind of file -> what makes its schema.
SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "model": model_schema,
    "architecture": architecture_schema,
    "defaults": defaults_schema,
}


def naming_schema(file: bytes, schema: Path) -> bytes:
    """A configuration file whose mark names this schema, wherever the file is put."""
    mark = MARK.encode()
    ours = b"%s%s\n" % (mark, schema.resolve().as_uri().encode())
    return b"".join(ours if line.startswith(mark) else line for line in file.splitlines(keepends=True))


def _run_and_families() -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of a run, and by the names of their classes the families of networks."""
    run = _standard(RunConfig.model_json_schema())
    families: dict[str, Any] = run["$defs"]
    return run["properties"], families


def _standard(value: Any) -> Any:
    """Without what our declarations add: bounds have the names of JSON Schema, `resume` and titles go."""
    if isinstance(value, list):
        return [_standard(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if "properties" in value:
        keys = {name: _standard(field) for name, field in value["properties"].items()}
        value = {**value, "properties": keys}
    others = {name: inner for name, inner in value.items() if name not in ("resume", "unit", "title")}
    return {
        _BOUNDS.get(name, name): inner if name == "properties" else _standard(inner) for name, inner in others.items()
    }


def _references(families: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"$ref": f"#/$defs/{name}"} for name in families]


def _document(
    title: str,
    *,
    properties: Mapping[str, Any] | None = None,
    required: list[str] | None = None,
    families: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A schema with its head; without properties what it allows is said elsewhere in it."""
    document: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    document["type"] = "object"
    if required:
        document["required"] = required
    if properties is not None:
        document |= {"additionalProperties": False, "properties": dict(properties)}
    if families:
        document["$defs"] = dict(families)
    return document
