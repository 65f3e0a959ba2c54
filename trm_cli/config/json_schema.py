"""Describe model files as JSON Schema, which editors use to complete keys and to mark mistakes."""

from __future__ import annotations

from typing import Any

from trm_cli.config.registry import RegistryEntry
from trm_cli.config.schema import RunConfig

_ENTRY = {
    "title": "what it is, in a line",
    "config": "file of defaults",
    "architecture": "file of configs/arch/, by its name",
    "dataset_builder": "program that builds the dataset",
    "checkpoint_path": "directory of the run",
}


def model_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file of `configs/models/`."""
    run = RunConfig.model_json_schema()
    families = run.pop("$defs")
    for family in families.values():  # below `overrides` a few keys of the architecture are enough
        family.pop("required", None)
    keys = {name: field for name, field in run["properties"].items() if name not in ("model", "data_paths", "arch")}
    arch = {"type": "object", "anyOf": [{"$ref": f"#/$defs/{name}"} for name in families]}
    flat = {"type": ["string", "number", "boolean", "null", "array"], "items": {"type": ["string", "number"]}}
    arguments = {
        "description": "flags of the dataset builder",
        "type": ["object", "array"],
        "properties": {"output_dir": {"type": "string", "description": "where the dataset is written"}},
        "additionalProperties": flat,
    }
    overrides = {"type": ["object", "null"], "additionalProperties": False, "properties": {**keys, "arch": arch}}
    entry: dict[str, Any] = {name: {"type": "string", "description": words} for name, words in _ENTRY.items()}
    required = ["architecture", "dataset_builder", "dataset_args"]
    assert {*entry, "dataset_args", "overrides"} <= {*RegistryEntry.__dataclass_fields__}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a model of trm",
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": {**entry, "dataset_args": arguments, "overrides": overrides},
        "$defs": families,
    }
