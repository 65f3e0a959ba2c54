"""`trm configs copy` and `trm configs schema`: files to edit, and what an editor knows of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import trm_here
from trm_cli.config import registry
from trm_cli.config.compose import compose
from trm_cli.config.sources.yaml_loader import load_yaml


def test_a_copy_is_the_model_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = trm_here("configs", "copy", "sudoku-4x4", "my model.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Next: edit my model.yaml, then trm train 'my model.yaml'" in done.stdout
    assert trm_here("train", "my model.yaml", "--dry-run", cwd=tmp_path).returncode == 0
    ours, copied = compose("sudoku-4x4").config, compose("my model.yaml").config
    assert copied.model_copy(update={"model": ours.model}) == ours
    assert trm_here("configs", "copy", "sudoku-6x6", cwd=tmp_path).returncode == 0
    again = trm_here("configs", "copy", "sudoku-6x6", cwd=tmp_path)
    assert (again.returncode, "sudoku-6x6.yaml exists already" in again.stderr) == (2, True)
    assert "did you mean `sudoku-4x4`" in trm_here("configs", "copy", "sudoku-4x5", cwd=tmp_path).stderr


def allows(schema: dict[str, Any], whole: dict[str, Any], value: Any) -> bool:
    """Whether a value fits a schema, as far as keys go."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema and isinstance(value, dict):
        return any(allows(one, whole, value) for one in schema["anyOf"])
    if not isinstance(value, dict) or "properties" not in schema:
        return True
    known = schema["properties"]
    if schema.get("additionalProperties") is False and not set(value) <= set(known):
        return False
    return all(allows(known[name], whole, inner) for name, inner in value.items() if name in known)


def test_the_schema_allows_what_is_shipped_and_no_mistakes(tmp_path: Path) -> None:
    schema = json.loads(trm_here("configs", "schema", cwd=tmp_path).stdout)
    for name in registry.names("models"):
        path = registry.find("models", name)
        assert path is not None
        document = load_yaml(path).data
        assert set(schema["required"]) <= set(document)
        assert allows(schema, schema, document), name
    good = {"overrides": {"epochs": 3, "arch": {"hidden_size": 8}}}
    assert allows(schema, schema, good)
    for wrong in ({"epochs": 3}, {"overrides": {"epoch": 3}}, {"overrides": {"arch": {"hidden": 8}}}):
        assert not allows(schema, schema, wrong)
    assert schema["properties"]["overrides"]["properties"]["epochs"]["minimum"] == 1
