"""`trm configs copy` and `trm configs schema`: files to edit, and what an editor knows of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from jsonschema import Draft202012Validator

from tests.support.commands import trm_here
from trm_cli.config.compose import compose
from trm_cli.config.json_schema import MARK, SCHEMAS
from trm_cli.config.registry import SHIPPED
from trm_cli.config.sources.yaml_loader import parse_yaml


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


def schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SHIPPED / f"schemas/{kind}.json").read_text())
    return found


def mistakes(file: Path, change: tuple[str, str] = ("", "")) -> list[str]:
    """What the schema that a file names says of it, after a replacement in its text."""
    [line] = [line for line in file.read_text().splitlines() if line.startswith(MARK)]
    text = file.read_text().replace(*change) if change[0] else file.read_text()
    assert not change[0] or text != file.read_text()
    validator = Draft202012Validator(json.loads((file.parent / line.removeprefix(MARK)).read_text()))
    parsed = parse_yaml(text, str(file))
    assert not parsed.problems
    return [error.message for error in validator.iter_errors(parsed.data)]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_shipped_schema_is_that_of_the_program(kind: str, tmp_path: Path) -> None:
    """After a change of the keys: `make schemas`."""
    made = SCHEMAS[kind]()
    Draft202012Validator.check_schema(made)
    assert schema(kind) == made == json.loads(trm_here("configs", "schema", kind, cwd=tmp_path).stdout)


@pytest.mark.parametrize("file", sorted(SHIPPED.rglob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_file_names_a_schema_that_accepts_it(file: Path) -> None:
    assert mistakes(file) == []


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("models/sudoku-4x4", ("  epochs:", "  epoch:")),
        ("models/sudoku-4x4", ("  epochs: 28", "  epochs: 0")),
        ("models/sudoku-4x4", ("  optimizer: adamw", "  optimizer: adam")),
        ("models/sudoku-4x4", ("overrides:", "override:")),
        ("models/sudoku-4x4", ("architecture:", "arch:")),
        ("models/unified-mini", ("overrides:", "overrides:\n  arch: {hidden: 8}")),
        ("arch/trm", ("hidden_size:", "hidden:")),
        ("arch/trm", ("num_heads: 8", "num_heads: 0")),
        ("arch/trm", ("family: trm", "family: trn")),
        ("arch/hrm", ("H_cycles:", "h_cycles:")),
        ("cfg_pretrain", ("seed: 0", "sed: 0")),
        ("cfg_pretrain", ("log_interval: auto", "log_interval: often")),
    ],
)
def test_a_schema_marks_mistakes(file: str, change: tuple[str, str]) -> None:
    assert mistakes(SHIPPED / f"{file}.yaml", change)


def test_a_copy_names_the_schema_by_its_place(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere/my model.yaml"
    target.parent.mkdir()
    assert trm_here("configs", "copy", "sudoku-4x4", str(target), cwd=tmp_path).returncode == 0
    [line] = [line for line in target.read_text().splitlines() if line.startswith(MARK)]
    assert Path(unquote(urlsplit(line.removeprefix(MARK)).path)) == SHIPPED / "schemas/model.json"
    # A copy of the copy, and a file without the mark, stay as they are.
    assert trm_here("configs", "copy", str(target), "again.yaml", cwd=tmp_path).returncode == 0
    assert (tmp_path / "again.yaml").read_bytes() == target.read_bytes()


def test_a_schema_of_nothing_is_refused(tmp_path: Path) -> None:
    done = trm_here("configs", "schema", "modell", cwd=tmp_path)
    assert (done.returncode, "expected one of model, architecture, defaults" in done.stderr) == (2, True)
