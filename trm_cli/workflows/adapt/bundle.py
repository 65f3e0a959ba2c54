"""A folder to adapt without network, such as a Kaggle data set: this program's wheel, the weights, and a notebook."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_cli.errors import TrmError, UsageError, writing
from trm_cli.workflows.adapt.request import AdaptRequest
from trm_cli.workflows.adapt.settings import check_words, find_source

WEIGHTS, NOTEBOOK = "weights.safetensors", "notebook.ipynb"
_ROOT = Path(__file__).resolve().parents[3]
_SOURCES = (
    "trm_cli", "configs", "dataset_builders", "pretrained", "setup.cfg", "setup.py", "pyproject.toml", "README.md",
    "LICENSE",
)  # fmt: skip

#: Packages that a machine with torch, numpy and numba may lack, or have in an older version: small ones.
_CARRIED = ("typer", "rich", "pyyaml", "pydantic", "safetensors")
_PYTHONS = ("3.11", "3.12", "3.13")
_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")

_ABOUT = """# New ARC tasks with `trm`

Everything that this notebook needs lies beside it: it installs from this folder, without network, learns the tasks of
`arc-agi_test_challenges.json` from their demonstrations, and writes `submission.json`. The machine has to bring torch,
numpy and numba, as Kaggle's does; of the other packages it keeps those that are new enough, and takes the rest from
`wheels`."""

_INSTALL = """import subprocess
import sys
from pathlib import Path

places = [Path.cwd(), *Path("/kaggle/input").glob("**/")]
here = next(place for place in places if (place / "weights.safetensors").is_file())
pip = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(here / "wheels")]
subprocess.run([*pip, *{needed}], check=False)
subprocess.run([*pip, "--no-deps", *map(str, here.glob("trm-*.whl"))], check=True)"""

_CHECK = """from importlib.util import find_spec

needed = ["torch", "numpy", "numba", "typer", "rich", "yaml", "pydantic", "safetensors"]
missing = [name for name in needed if find_spec(name) is None]
assert not missing, f"wheels of these for Python {sys.version_info[:2]} are needed in {here / 'wheels'}: {missing}"
subprocess.run([sys.executable, "-m", "trm_cli", "--version"], check=True)"""

_ADAPT = """name = "arc-agi_test_challenges.json"
tasks = next((place / name for place in places if (place / name).is_file()))
line = ["adapt", str(here / "weights.safetensors"), str(tasks), *{words}, "--out", "submission.json"]
subprocess.run([sys.executable, "-m", "trm_cli", *line], check=True)"""


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle. step: of the weights. wheels: of other packages, by name; problem: why they lack."""

    folder: str
    wheel: str
    step: int
    bytes: int
    wheels: tuple[str, ...] = ()
    problem: str = ""


def write_bundle(request: AdaptRequest, folder: Path) -> Bundle:
    """Write wheel, weights and notebook into `folder`; the notebook adapts as `request` says, whatever its tasks.

    Raises UsageError where this program was not started from its sources, of which the wheel is made; TrmError.
    """
    from trm_cli.training.run.sealed_config import load_sealed
    from trm_cli.training.transfer.exporting import export_weights

    source = find_source(request.run)
    check_words(source, request.words)
    if not all((_ROOT / name).exists() for name in _SOURCES):
        raise UsageError("a bundle holds a wheel of this program's sources, which are not here", hint="use a clone")
    with writing(folder, instead="another folder", error_class=TrmError):
        folder.mkdir(parents=True, exist_ok=True)
        wheel = _write_wheel(folder)
        state, sealed = load_sealed(source.sealed.checkpoint)
        step = export_weights(state, sealed, folder / WEIGHTS, "safetensors").step
        (folder / NOTEBOOK).write_text(json.dumps(_notebook(request), indent=1) + "\n")
        problem = _download_wheels(folder / "wheels")
        wheels = sorted((folder / "wheels").glob("*.whl"))
        size = sum(path.stat().st_size for path in (wheel, folder / WEIGHTS, folder / NOTEBOOK, *wheels))
    return Bundle(str(folder), wheel.name, step, size, tuple(path.name for path in wheels), problem)


def _requirements() -> list[str]:
    """The packages that are carried, with the versions that this program needs."""
    config = configparser.ConfigParser()
    config.read(_ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options"]["install_requires"].splitlines()
    return [line.strip() for line in lines if re.split("[<>=!~ ]", line.strip())[0] in _CARRIED]


def _download_wheels(wheels: Path) -> str:
    """Download the wheels of the packages that are carried, for the Pythons of Linux machines; returns what failed.

    Those that are there from before stay: a bundle is as good as before where there is no network.
    """
    wheels.mkdir(exist_ok=True)
    target = ["--only-binary", ":all:", "--implementation", "cp", "--dest", str(wheels)]
    target += [word for platform in _PLATFORMS for word in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", *target]
    for version in _PYTHONS:
        line = [*pip, "--python-version", version, *_requirements()]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip() or "pip failed").splitlines()[-1]
    return ""


def _write_wheel(folder: Path) -> Path:
    """Build the wheel from a copy: setuptools writes beside what it reads. Raises TrmError."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place, "source")
        copy.mkdir()
        for name in _SOURCES:
            origin = _ROOT / name
            if origin.is_dir():
                shutil.copytree(origin, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(origin, copy / name)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
        flags = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", place]
        done = subprocess.run([*pip, *flags, str(copy)], capture_output=True, text=True, check=False)
        found = list(Path(place).glob("trm-*.whl"))
        if done.returncode or not found:
            raise TrmError(
                f"pip could not build the wheel: {done.stderr.strip()[-300:]}", hint="pip install setuptools"
            )
        for old in folder.glob("trm-*.whl"):
            old.unlink()
        return Path(shutil.copy(found[0], folder / found[0].name))


def _notebook(request: AdaptRequest) -> dict[str, Any]:
    """The notebook as a document of Jupyter's format 4."""
    cells = [
        _cell("markdown", _ABOUT),
        *(_cell("code", code) for code in (_install_cell(), _CHECK, _adapt_cell(request))),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}


def _install_cell() -> str:
    return _INSTALL.format(needed=json.dumps(_requirements()))


def _adapt_cell(request: AdaptRequest) -> str:
    budget = 39_600 if request.budget is None else request.budget
    long = ["--budget", f"{budget:g}s"] if request.updates is None else ["--updates", str(request.updates)]
    words = [*request.words, *long, "--augmentations", str(request.augmentations), "--rows", request.rows]
    words += ["--votes", str(request.votes)] if request.votes is not None else []
    return _ADAPT.format(words=json.dumps(words))


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return {**cell, "execution_count": None, "outputs": []} if kind == "code" else cell
