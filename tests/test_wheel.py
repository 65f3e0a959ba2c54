"""A wheel, installed elsewhere, carries configurations and builders under its own name, and nothing shadows them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = (
    "trm_cli", "configs", "dataset_builders", "pretrained", "setup.cfg", "setup.py", "pyproject.toml", "README.md",
    "LICENSE",
)  # fmt: skip


def run(*words: str, cwd: Path, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def copy_tree(target: Path) -> None:
    """Copy what packages are made of to a new folder."""
    target.mkdir()
    for name in SHIPPED:
        origin = ROOT / name
        if origin.is_dir():
            shutil.copytree(origin, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, target / name)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a wheel of this tree is installed; its source is gone."""
    folder = tmp_path_factory.mktemp("wheel")
    source, site = folder / "source", folder / "site"
    copy_tree(source)
    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(source), cwd=folder)
    (wheel,) = folder.glob("trm-*.whl")
    run(*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel), cwd=folder)
    shutil.rmtree(source)
    return site


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A working directory with names of ours and of Python's in it; each says so when it is imported."""
    for name in ("json.py", "argparse.py", "dataset_builders/__init__.py", "dataset_builders/sudoku.py", "configs.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"raise SystemExit('{name} of the working directory was run')\n")
    return tmp_path


def test_it_installs_one_name(site: Path) -> None:
    names = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert names - {"bin", "__pycache__"} == {"trm_cli"}
    assert (site / "trm_cli" / "py.typed").is_file()
    shipped = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.*")}
    installed = site / "trm_cli" / "_configs"
    assert {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()} == shipped
    weights = sorted(path.parent.name for path in (ROOT / "pretrained").glob("*/*.safetensors"))
    assert weights and weights == sorted(p.parent.name for p in (site / "trm_cli/_pretrained").glob("*/*.safetensors"))
    modules = {
        path.relative_to(ROOT)
        for name in ("trm_cli", "dataset_builders")
        for ending in ("*.py", "*.txt")
        for path in (ROOT / name).rglob(ending)
    }
    found = {path.relative_to(site / "trm_cli") for e in ("*.py", "*.txt") for path in (site / "trm_cli").rglob(e)}
    assert found == {path.relative_to("trm_cli") if path.parts[0] == "trm_cli" else path for path in modules}


def test_it_finds_its_configurations_and_plans_without_a_dataset(site: Path, elsewhere: Path) -> None:
    listed = json.loads(run("-m", "trm_cli", "configs", "list", "--json", cwd=elsewhere, site=site).stdout)
    assert "sudoku-6x6" in json.dumps(listed)
    plan = run("-m", "trm_cli", "inspect-schedule", "sudoku-6x6", "--json", cwd=elsewhere, site=site).stdout
    assert json.loads(plan)["total_steps"] > 0


@pytest.mark.slow
def test_it_builds_with_its_own_builders(site: Path, elsewhere: Path) -> None:
    model = (ROOT / "configs/models/sudoku-4x4.yaml").read_text().replace("train: 1500", "train: 40")
    (elsewhere / "configs/models").mkdir(parents=True)
    (elsewhere / "configs/models/small.yaml").write_text(model.replace("test: 500", "test: 20"))
    done = run("-m", "trm_cli", "build-dataset", "small", cwd=elsewhere, site=site)
    assert json.loads((elsewhere / "datasets/sudoku-4x4/manifest.json").read_text())["state"] == "complete"
    # The command that it prints does the same when it is pasted into a directory that shadows nothing.
    [line] = [line for line in done.stderr.replace("\n  ", " ").splitlines() if "-m trm_cli.dataset_builders" in line]
    words = shlex.split(line[line.index("-m trm_cli") :])
    clean = elsewhere / "clean"
    clean.mkdir()
    run(*words, cwd=clean, site=site)
    for name in ("manifest.json", "train/all__inputs.npy"):
        assert (clean / "datasets/sudoku-4x4" / name).read_bytes() == (
            elsewhere / "datasets/sudoku-4x4" / name
        ).read_bytes()
