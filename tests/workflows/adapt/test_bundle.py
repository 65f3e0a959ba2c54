"""A bundle adapts without network, from nothing but its own folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.arc_tasks import write_challenges, write_source
from tests.support.commands import trm
from tests.support.streams import environment

#: Imported by every Python process: nothing is reached but the machine itself.
CUT_OFF = """import socket
def refuse(*words): raise OSError("there is no network")
socket.socket.connect = socket.getaddrinfo = refuse
"""


@pytest.mark.slow
def test_the_notebook_runs_without_network(tmp_path: Path) -> None:
    home, kaggle, site = tmp_path / "home", tmp_path / "kaggle", tmp_path / "site"
    for folder in (home, kaggle, site):
        folder.mkdir()
    write_source(home)
    line = ("adapt", "source", "lr=1e-3", "--bundle", kaggle, "--updates", 1, "--augmentations", 1, "--json")
    done = trm(*line, cwd=home)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in kaggle.iterdir()} == {
        json.loads(done.stdout)["wheel"], "weights.safetensors", "notebook.ipynb",
    }  # fmt: skip
    write_challenges(kaggle / "arc-agi_test_challenges.json")
    (site / "sitecustomize.py").write_text(CUT_OFF)
    notebook = json.loads((kaggle / "notebook.ipynb").read_text())
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    names = {"PIP_TARGET": str(site), "PYTHONPATH": str(site)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=kaggle, env=environment() | names, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert (site / "trm_cli").is_dir(), "it is installed from the folder"
    assert list(json.loads((kaggle / "submission.json").read_text())) == ["mirror", "flip"]


def test_a_bundle_has_no_tasks(tmp_path: Path) -> None:
    for words, said in (((), "name the tasks"), (("tasks.json", "--bundle", "b"), "a bundle has no TASKS")):
        done = trm("adapt", "source", *words, "--updates", 1, cwd=tmp_path)
        assert done.returncode == 2 and said in done.stderr
