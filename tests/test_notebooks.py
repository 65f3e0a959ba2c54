"""The notebooks of examples/ run from top to bottom, and what they name exists."""

from __future__ import annotations

import ast
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import trm_cli as trm

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples/notebooks").glob("*.ipynb"))
#: What a run of minutes is replaced with.
SHORTER = {
    'wandb="disabled")': 'wandb="disabled", threads=1, epochs=1, eval_interval=1)',
    '"train", 4000': '"train", 128',
    "epochs=8": "epochs=1",
    "eval_interval=4": "eval_interval=1",
    "until_solved=8": "until_solved=8, limit=20",
    "dataset_args.train=1500": "dataset_args.train=64",
}


def code_cells(path: Path) -> list[str]:
    """The Python of a notebook, without lines for the shell."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    lines = ["".join(line for line in cell["source"] if not line.startswith("!")) for cell in cells]
    return [text for text in lines if text.strip()]


def test_there_are_four() -> None:
    assert len(NOTEBOOKS) == 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_names_exists_and_it_is_light(path: Path) -> None:
    document = json.loads(path.read_text())
    assert all(
        not cell["outputs"] and cell["execution_count"] is None for cell in document["cells"] if "outputs" in cell
    )
    assert path.stat().st_size < 16_000
    installs = [line for cell in document["cells"] for line in cell["source"] if line.startswith("!")]
    assert len(installs) == 1 and "pip install" in installs[0]
    for text in code_cells(path):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trm_cli"):
                module = import_module(str(node.module))
                assert all(hasattr(module, name.name) for name in node.names)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "trm":
                assert node.attr in trm.__all__


@pytest.mark.slow  # each starts a kernel and loads torch
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    text = path.read_text()
    document: Any = nbformat.reads(text, as_version=4)
    for cell in document.cells:
        for long, short in SHORTER.items():
            cell.source = cell.source.replace(long, short)
    nbclient.NotebookClient(document, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert all(cell.execution_count for cell in document.cells if cell.cell_type == "code")
