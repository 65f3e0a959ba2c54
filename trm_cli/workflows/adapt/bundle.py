"""A folder to adapt without network, such as a Kaggle data set: this program's wheel, the weights, and a notebook."""

from __future__ import annotations

import json
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
_SOURCES = ("trm_cli", "configs", "dataset_builders", "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")

_ABOUT = """# New ARC tasks with `trm`

Everything that this notebook needs lies beside it: it installs from this folder, without network, learns the tasks of
`arc-agi_test_challenges.json` from their demonstrations, and writes `submission.json`. Packages that the machine lacks
(the second cell names them) go into a folder `wheels` here: `pip download --only-binary :all: --dest wheels NAME`."""

_INSTALL = """import subprocess
import sys
from pathlib import Path

places = [Path.cwd(), *Path("/kaggle/input").glob("**/")]
here = next(place for place in places if (place / "weights.safetensors").is_file())
wheels = [*sorted(here.glob("wheels/*.whl")), *here.glob("trm-*.whl")]
subprocess.run([sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", *map(str, wheels)], check=True)"""

_CHECK = """from importlib.util import find_spec

needed = ["torch", "numpy", "numba", "typer", "rich", "yaml", "pydantic", "safetensors"]
missing = [name for name in needed if find_spec(name) is None]
assert not missing, f"wheels of these are needed in {here / 'wheels'}: {missing}"
subprocess.run([sys.executable, "-m", "trm_cli", "--version"], check=True)"""

_ADAPT = """name = "arc-agi_test_challenges.json"
tasks = next((place / name for place in places if (place / name).is_file()))
line = ["adapt", str(here / "weights.safetensors"), str(tasks), *{words}, "--out", "submission.json"]
subprocess.run([sys.executable, "-m", "trm_cli", *line], check=True)"""


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle. step: of the weights."""

    folder: str
    wheel: str
    step: int
    bytes: int


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
    with writing(folder, instead="another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        wheel = _write_wheel(folder)
        state, sealed = load_sealed(source.sealed.checkpoint)
        step = export_weights(state, sealed, folder / WEIGHTS, "safetensors").step
        (folder / NOTEBOOK).write_text(json.dumps(_notebook(request), indent=1) + "\n")
        size = sum(path.stat().st_size for path in (wheel, folder / WEIGHTS, folder / NOTEBOOK))
    return Bundle(str(folder), wheel.name, step, size)


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
    cells = [_cell("markdown", _ABOUT), *(_cell("code", code) for code in (_INSTALL, _CHECK, _adapt_cell(request)))]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}


def _adapt_cell(request: AdaptRequest) -> str:
    long = ["--updates", str(request.updates)] if request.updates else ["--budget", f"{request.budget or 39_600:g}s"]
    words = [*request.words, *long, "--augmentations", str(request.augmentations), "--rows", request.rows]
    words += ["--votes", str(request.votes)] if request.votes is not None else []
    return _ADAPT.format(words=json.dumps(words))


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return {**cell, "execution_count": None, "outputs": []} if kind == "code" else cell
