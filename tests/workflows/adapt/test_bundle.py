"""A bundle adapts without network, from nothing but its own folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.arc_tasks import write_challenges, write_source
from tests.support.commands import trm
from tests.support.streams import environment
from trm_cli.workflows.adapt import bundle

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
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(site)}
    done = trm(*line, cwd=home, env=environment() | nowhere)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert {path.name for path in kaggle.iterdir()} == {
        made["wheel"], "weights.safetensors", "notebook.ipynb", "wheels",
    }  # fmt: skip
    assert made["wheels"] == [] and "No matching distribution" in made["problem"], "it says what is not carried"
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


def test_what_is_carried_is_what_the_program_needs_of_it() -> None:
    needed = {re.split("[<>=!~]", line)[0]: line for line in bundle._requirements()}
    assert needed.keys() == set(bundle._CARRIED)
    assert all(">=" in line for line in needed.values())


def test_wheels_are_downloaded_for_other_pythons_and_those_of_before_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[list[str]] = []

    def pip(line: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        lines.append(line)
        code = int("3.12" in line)
        return subprocess.CompletedProcess(line, code, "", "WARNING: slow\nERROR: no network\n" if code else "")

    monkeypatch.setattr(subprocess, "run", pip)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/typer-1.whl").touch()
    assert bundle._download_wheels(tmp_path / "wheels") == "ERROR: no network"
    assert [line[line.index("--python-version") + 1] for line in lines] == ["3.11", "3.12"]
    assert all("torch" not in word for line in lines for word in line)
    assert (tmp_path / "wheels/typer-1.whl").exists()


def test_a_bundle_has_no_tasks(tmp_path: Path) -> None:
    for words, said in (((), "name the tasks"), (("tasks.json", "--bundle", "b"), "a bundle has no TASKS")):
        done = trm("adapt", "source", *words, "--updates", 1, cwd=tmp_path)
        assert done.returncode == 2 and said in done.stderr
