"""`trm configs list|show|validate|keys` as a person and as a program uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trm_cli.app import main
from trm_cli.config.schema import RunConfig
from trm_cli.console import output
from trm_cli.models.families import FAMILIES


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    output.stdout.cache_clear()
    output.stderr.cache_clear()
    monkeypatch.setattr("sys.argv", ["trm", "configs", *words])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(monkeypatch, capsys, "list")
    assert (code, err) == (0, "Next: trm doctor, or trm train MODEL\n")
    assert "TRM Vision-Unified (All Modalities)" in out
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = run(monkeypatch, capsys, "list", "--json")
    document = json.loads(out)
    assert {model["name"] for model in document["models"]} >= {"vision-unified", "sudoku-4x4"}
    assert {each["family"] for each in document["architectures"]} == {"trm", "hrm", "transformer", "hesc"}


def test_show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(monkeypatch, capsys, "show", "sudoku-4x4", "epochs=10")
    assert (code, err) == (0, "Next: trm train sudoku-4x4 epochs=10\n")
    assert any(line.split() == ["epochs", "10", "command", "line"] for line in out.splitlines())
    assert any(line.split()[:2] == ["lr", "0.0015"] and "sudoku-4x4.yaml:" in line for line in out.splitlines())
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = run(monkeypatch, capsys, "show", "sudoku-4x4", "--json", "--arch", "trm_sudoku")
    document = json.loads(out)
    assert document["config"]["arch"]["name"] == "trm_sudoku"
    assert document["config"]["checkpoint_path"] == "checkpoints/sudoku-4x4-trm-sudoku"
    assert set(document["sources"]) >= {"arch.hidden_size", "epochs"}


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("model", ["sudoku-4x4", "vision-unified"])
def test_show_keeps_values_whole_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = run(monkeypatch, capsys, "show", model, "--json")
    config = json.loads(out)["config"]
    _, out, _ = run(monkeypatch, capsys, "show", model)
    assert max(map(len, out.splitlines())) <= width
    shown = [line.split()[:2] for line in out.splitlines()]
    for key in ("model", "checkpoint_path"):
        assert [key, config[key]] in shown
    assert ["arch.name", config["arch"]["name"]] in shown


def test_validate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(monkeypatch, capsys, "validate")
    assert (code, "no problem" in out) == (0, True)
    bad = tmp_path / "bad.yaml"
    bad.write_text("title: x\narchitecture: trm\ndataset_builder: b\ndataset_args: {output_dir: d}\nepohcs: 3\n")
    code, out, err = run(monkeypatch, capsys, "validate", str(bad))
    assert (code, out) == (2, "")
    assert f"error: 1 problem in {bad}" in err
    assert f"{bad}:5:1" in err
    assert "unknown key `epohcs`" in err
    code, out, _ = run(monkeypatch, capsys, "validate", "--json", str(bad), "trm")
    assert code == 2
    assert [problem["key"] for problem in json.loads(out)["problems"]] == ["epohcs"]


def test_keys_are_those_of_the_schema_and_of_every_family(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(monkeypatch, capsys, "keys", "--json")
    keys = json.loads(out)["keys"]
    assert {one["key"] for one in keys if "." not in one["key"]} == set(RunConfig.model_fields) - {"arch"}
    for name, family in FAMILIES.items():
        of_family = [one["key"] for one in keys if name in one["families"]]
        assert sorted(of_family) == sorted(f"arch.{key}" for key in family.model_fields)
    _, page, _ = run(monkeypatch, capsys, "keys", "--markdown")
    assert all(f"| `{one['key']}`" in page for one in keys)
    code, shown, _ = run(monkeypatch, capsys, "keys", "ema_rate")
    assert code == 0 and "0.999" in shown and "replan" in shown and "lr_warmup" not in shown
