"""The models that come with the program are used where no run is named, and say what was measured of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import trm_cli as trm
from tests.support.commands import trm_here
from trm_cli.errors import CheckpointError
from trm_cli.training.run.published import SHIPPED, pretrained
from trm_cli.workflows.solve.pretrained import pretrained_models

BOARD = "1... ..3. .4.. ...2"


@pytest.mark.parametrize("name", pretrained())
def test_it_solves_its_examples_and_its_card_is_true(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = SHIPPED / name.partition("/")[2]
    facts, measured = (json.loads((folder / file).read_text()) for file in ("config.json", "evaluations.json"))
    card = (folder / "README.md").read_text()
    assert (folder / "model.safetensors").stat().st_size < 2_000_000
    assert measured and all(
        f"{100 * share['value']:.2f} % | {100 * share['low']:.1f} - {100 * share['high']:.1f} % | {share['hits']:,} of"
        in card
        for document in measured
        for share in [document["checked"]["curve"][-1]["valid"] if "checked" in document else document["exact"]]
    )
    model = trm.load(name, device="cpu")
    assert all(model.solve(board).solved for board in facts["examples"][:3])
    assert str(folder / "model.safetensors") in repr(model)


def test_a_puzzle_alone_is_solved_and_the_weights_are_named(tmp_path: Path) -> None:
    done = trm_here("solve", BOARD, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["solved"] and "pretrained/sudoku-4x4 (99" in done.stderr
    (tmp_path / "board.txt").write_text(BOARD)
    assert trm_here("solve", "board.txt", "--json", cwd=tmp_path).stdout == done.stdout
    lines = trm_here("solve", "--all-solutions-of", "board.txt", cwd=tmp_path)
    assert lines.returncode == 0 and len(lines.stdout.strip()) == 16, lines.stderr


def test_what_no_model_reads_is_told(tmp_path: Path) -> None:
    done = trm_here("solve", "." * 49, cwd=tmp_path)
    assert done.returncode == 2 and "read Sudoku boards of 16 and 81 cells" in done.stderr
    assert trm_here("solve", "none", cwd=tmp_path).returncode == 4


def test_the_first_example_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = trm.load(device="cpu")
    assert model.checkpoint.parent.name == pretrained_models()[-1].name.partition("/")[2]


def test_an_installation_without_models_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm_cli.training.run.published.pretrained", list)
    with pytest.raises(CheckpointError, match="no model comes with this installation"):
        trm.load(device="cpu")
