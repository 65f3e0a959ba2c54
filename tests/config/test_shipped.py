"""What ships is right, complete and explained; every key is read by something."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import trm_cli
from trm_cli.config import registry
from trm_cli.config.catalogue import check_all
from trm_cli.config.compose import compose
from trm_cli.config.dump import flat_values
from trm_cli.config.make_plan import make_plan
from trm_cli.config.schema import RunConfig
from trm_cli.config.sources.yaml_loader import load_yaml
from trm_cli.keys import Section, expectation, resume_class
from trm_cli.models.families import FAMILIES
from trm_cli.schedule.plan import DatasetCounts

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
    return names


#: model -> samples of an epoch as published (ARC with its subset "concept"), batch, updates, lr and decay of the table.
RECIPES = {
    "sudoku-extreme": (1000, 768, 65_104, 1e-4, 1.0),
    "sudoku-extreme-att": (1000, 768, 65_104, 1e-4, 1.0),
    "sudoku-extreme-paper": (1000, 768, 78_125, 1e-4, 1.0),
    "maze-hard": (1000, 768, 65_104, 1e-4, 1.0),
    "maze-hard global_batch_size=128": (1000, 128, 390_625, 1e-4, 1.0),
    "maze-hard-paper": (1000, 768, 78_125, 1e-4, 1.0),
    "maze-generated": (1000, 768, 65_104, 1e-4, 1.0),
    "arc-1": (3988, 768, 519_270, 1e-2, 0.1),
    "arc-1-paper": (3988, 768, 519_270, 1e-2, 0.1),
    "arc-2": (5573, 768, 725_651, 1e-2, 0.1),
    "arc-2-paper": (5573, 768, 725_651, 1e-2, 0.1),
}


@pytest.mark.parametrize("words", RECIPES)
def test_a_published_recipe_has_the_published_schedule(words: str) -> None:
    samples, batch, steps, table_rate, decay = RECIPES[words]
    name, *overrides = words.split()
    config = compose(name, overrides).config
    plan = make_plan(config, DatasetCounts(samples, 1.0, "published"))
    assert (plan.total_steps, config.global_batch_size, config.step_rounding) == (steps, batch, "whole_run")
    assert (config.lr, config.puzzle_emb_lr) == (1e-4, table_rate)
    assert (config.weight_decay, config.puzzle_emb_weight_decay) == (decay, decay)
    assert (config.beta1, config.beta2, config.ema, config.ema_rate) == (0.9, 0.95, True, 0.999)
    assert (config.arch.halt_max_steps, config.arch.halt_exploration_prob) == (16, 0.1)
    rate = next(quantity for quantity in plan.quantities if quantity.name == "lr")
    assert rate.at(1) == pytest.approx(1e-4 / 2000)
    assert rate.at(1999) < rate.at(2000) == rate.at(steps) == pytest.approx(1e-4)


@pytest.mark.parametrize("name", ["sudoku-extreme", "maze-hard", "arc-1", "arc-2"])
def test_paper_and_published_commands_differ_where_their_names_say_so(name: str) -> None:
    code, paper = compose(name).config, compose(f"{name}-paper").config
    values = {key: (value, flat_values(paper)[key]) for key, value in flat_values(code).items()}
    differing = {key: pair for key, pair in values.items() if pair[0] != pair[1]}
    expected = {"optimizer": ("adam_atan2", "adamw"), "arch.puzzle_emb_len": (16, 1)}
    if not name.startswith("arc"):
        expected |= {"epochs": (50_000, 60_000), "eval_interval": (5_000, 6_000)}
    if name != "sudoku-extreme":
        expected |= {"arch.L_cycles": (4, 6)}
    for key in ("model", "checkpoint_path", "data_paths"):
        differing.pop(key, None)
    assert differing == expected
    assert compose(name).config.checkpoint_path != compose(f"{name}-paper").config.checkpoint_path


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

    from trm_cli.config.dataset_args import builder_flags
    from trm_cli.data.building.builder_command import builder_command

    entry = compose(model).registry
    assert entry is not None
    command = builder_command(entry.dataset_builder, ["--help"])
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent).stdout
    for flag in builder_flags(entry.dataset_args):
        if flag.startswith("--"):
            assert re.search(rf"{re.escape(flag)}\b", shown), flag
