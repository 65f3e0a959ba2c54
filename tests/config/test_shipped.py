"""What ships is right, complete and explained; every key is read by something."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import trm_cli
from trm_cli.config import registry
from trm_cli.config.architectures import FAMILIES
from trm_cli.config.catalogue import check_all
from trm_cli.config.compose import compose
from trm_cli.config.fields import Section, expectation, resume_class
from trm_cli.config.schema import RunConfig
from trm_cli.config.yaml_loader import load_yaml

SECTIONS: dict[str, type[Section]] = {"run": RunConfig, **FAMILIES}
FIELDS = [(label, name) for label, section in SECTIONS.items() for name in section.model_fields]
PACKAGE = Path(trm_cli.__file__).parent


def test_every_configuration_composes() -> None:
    checked, problems = check_all([])
    assert problems == []
    assert len(checked) == len(registry.names("models")) + len(registry.names("arch"))
    _, problems = check_all([str(registry.SHIPPED / "cfg_pretrain.yaml")])
    assert problems == []


def test_the_defaults_file_states_every_key_with_the_schema_s_default() -> None:
    document = load_yaml(registry.SHIPPED / "cfg_pretrain.yaml")
    assert sorted(document.data) == sorted(RunConfig.model_fields)
    for name, field in RunConfig.model_fields.items():
        if not field.is_required():
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            assert document.data[name] == default, name


def test_every_line_of_the_defaults_file_is_explained() -> None:
    for line in (registry.SHIPPED / "cfg_pretrain.yaml").read_text(encoding="utf-8").splitlines():
        assert not re.match(r"\w+:", line) or re.search(r" # \w", line), line
        assert len(line) <= 120


@pytest.mark.parametrize("name", registry.names("arch"))
def test_an_architecture_s_file_states_every_key(name: str) -> None:
    path = registry.find("arch", name)
    assert path is not None
    document = load_yaml(path)
    family = document.data["family"]
    if family != "hesc":  # its many parts have defaults of their own
        assert sorted([*document.data, "name"]) == sorted(FAMILIES[family].model_fields)


@pytest.mark.parametrize(("label", "name"), FIELDS)
def test_a_key_is_declared_in_full(label: str, name: str) -> None:
    field = SECTIONS[label].model_fields[name]
    assert (label, name) == ("run", "arch") or field.description
    if (label, name) != ("run", "arch"):
        assert resume_class(field) in ("free", "replan", "fatal")
        assert expectation(field)


def test_every_key_is_read_by_the_program() -> None:
    read = _names_in(path for path in PACKAGE.rglob("*.py") if path.parent.name != "config")
    unread = {name for _, name in FIELDS if name not in read and name not in ("name", "family")}
    assert unread == set(), "keys that nothing reads"


def _names_in(paths: object) -> set[str]:
    """Every attribute, argument and text in the code: whatever a key can be read by."""
    names: set[str] = set()
    for path in paths:  # type: ignore[attr-defined]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    return names


def test_the_published_recipe_counts_as_published() -> None:
    config = compose("sudoku-extreme").config
    assert config.epochs * 1000 // config.global_batch_size == 65_104
    assert (config.lr, config.puzzle_emb_lr, config.weight_decay) == (1e-4, 1e-4, 1.0)
    assert config.step_rounding == "whole_run"


def test_flags_of_the_quick_start() -> None:
    from trm_cli.config.dataset_args import builder_flags

    entry = compose("sudoku-4x4").registry
    assert entry is not None
    assert " ".join(builder_flags(entry.dataset_args)).startswith(
        "--output-dir datasets/sudoku-4x4 --box 2 2 --train 1500"
    )


@pytest.mark.parametrize("model", registry.names("models"))
def test_a_builder_knows_the_flags_of_its_model(model: str) -> None:
    import subprocess
    import sys

    from trm_cli.config.dataset_args import builder_flags

    entry = compose(model).registry
    assert entry is not None
    command = [sys.executable, "-m", entry.builder_module, "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent).stdout
    for flag in builder_flags(entry.dataset_args):
        if flag.startswith("--"):
            assert re.search(rf"{re.escape(flag)}\b", shown), flag
