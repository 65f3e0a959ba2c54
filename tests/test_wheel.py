"""A wheel, installed elsewhere and not editable, carries its configurations and its builders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ("trm_cli", "configs", "dataset_builders", "setup.cfg", "pyproject.toml", "README.md")


def run(*words: str, cwd: Path, site: Path | None = None) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_wheel_finds_its_configurations(tmp_path: Path) -> None:
    source, site, elsewhere = tmp_path / "source", tmp_path / "site", tmp_path / "elsewhere"
    source.mkdir()
    elsewhere.mkdir()
    for name in SHIPPED:
        origin = ROOT / name
        if origin.is_dir():
            shutil.copytree(origin, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, source / name)
    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    run(
        *pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path), str(source), cwd=tmp_path
    )
    (wheel,) = tmp_path.glob("trm-*.whl")
    run(*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel), cwd=tmp_path)
    shutil.rmtree(source)
    listed = json.loads(run("-m", "trm_cli", "configs", "list", "--json", cwd=elsewhere, site=site))
    assert "sudoku-6x6" in json.dumps(listed)
    plan = json.loads(run("-m", "trm_cli", "inspect-schedule", "sudoku-6x6", "--json", cwd=elsewhere, site=site))
    assert plan["total_steps"] > 0
    assert str(site) in run("-c", "import trm_cli; print(trm_cli.__file__)", cwd=elsewhere, site=site)
