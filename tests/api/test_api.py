"""The Python API: a configuration, a plan, a training and its model, as somebody uses them in a notebook."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import trm_cli as trm
from tests.support.boards import boards
from tests.support.commands import trm_here
from tests.support.runs import TINY_RUN
from trm_cli.api import configuration
from trm_cli.data.puzzles.sudoku_text import symbol

ROOT = Path(__file__).parents[2]


def test_every_name_is_there_and_a_plan_loads_no_torch() -> None:
    assert all(getattr(trm, name).__doc__ for name in trm.__all__)
    assert set(trm.__all__) <= set(dir(trm))
    with pytest.raises(AttributeError, match="has no attribute 'leod'"):
        _ = trm.leod  # type: ignore[attr-defined]
    code = (
        "import sys, trm_cli as trm; assert not {'torch', 'pydantic', 'rich'} & set(sys.modules)\n"
        "print(trm.plan('sudoku-4x4', samples_per_epoch=100, epochs=3).total_steps, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "False"


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(configuration).failed == 0


def test_a_configuration_is_planned_as_the_command_line_plans_it(tmp_path: Path) -> None:
    config = trm.compose("sudoku-extreme", "arch.hidden_size=64", epochs=7, ema=False, data_paths=["a b"])
    assert (config.config.epochs, config.config.ema, config.config.arch.hidden_size) == (7, False, 64)
    assert config.config.data_paths == ("a b",)
    made = trm.plan(config, samples_per_epoch=5000)
    words = ["inspect-schedule", "sudoku-extreme", "epochs=7", "--samples-per-epoch", "5000", "--json"]
    assert made.total_steps == json.loads(trm_here(*words, cwd=tmp_path).stdout)["total_steps"]
    with pytest.raises(trm.TrmError, match="epochs"):
        trm.compose("sudoku-4x4", epochs="many")
    with pytest.raises(TypeError, match="compose"):
        trm.plan(config, epochs=3)


def test_three_lines_train_load_and_solve(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = []
    config = trm.compose("sudoku-4x4", *TINY_RUN, data_paths=[str(dataset)], checkpoint_path=str(tmp_path / "run"))
    result = trm.train(config, callback=lambda step, record: records.append((step, record["loss"])))
    said = capsys.readouterr()
    assert result.step == result.total_steps == records[-1][0] and said.out == ""
    assert "exact accuracy" in said.err and "step " in said.err

    model = trm.load(result.run, device="cpu")
    assert model.step in range(1, result.step + 1) and "sudoku-4x4" in repr(model)
    puzzle = "".join(map(symbol, boards(1, seed=5)[0][0].tolist()))
    answer = model.solve(puzzle, views=2)
    document = json.loads(trm_here("solve", str(result.run), puzzle, "--views", "2", "--json", cwd=tmp_path).stdout)
    assert {"schema_version": 1, **answer.document} == document
    assert answer.solved == document["solved"] and answer.answer == document["answer"]
    assert [text for text, _ in answer.steps] == [step["answer"] for step in document["steps"]]
    assert "solved" in repr(answer) and "\x1b" not in repr(answer)
    assert "<pre" in answer._repr_html_() and "solved" in answer._repr_html_()
    assert model.evaluate(limit=10)["count"] == 10
    with pytest.raises(trm.TrmError, match="cell"):
        model.solve("12x")


def test_the_code_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of docs/python.md runs, in order, where the page says that it does."""
    page = (ROOT / "docs/python.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) > 4
    monkeypatch.chdir(tmp_path)
    small = ", ".join(map(repr, (*TINY_RUN, "dataset_args.train=40", "dataset_args.test=20")))
    names: dict[str, object] = {}
    for block in blocks:
        # The page trains for two minutes; a smaller network does the same things.
        exec(block.replace('"epochs=40"', small), names)
    assert names["result"].step == names["result"].total_steps  # type: ignore[attr-defined]


def test_a_name_that_is_no_run_is_told() -> None:
    with pytest.raises(trm.TrmError, match="no-such-run"):
        trm.load("no-such-run")
