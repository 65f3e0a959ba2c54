"""What is published: an sdist and a wheel that hold the same, with metadata that an index takes, and the citation."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.test_wheel import ROOT, SHIPPED, copy_tree
from trm_cli import __version__

BUILD = "from setuptools import build_meta; build_meta.build_sdist({0!r}); build_meta.build_wheel({0!r})"


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"], citation["cff-version"]) == (__version__, "MIT", "1.2.0")
    assert all(citation[key] for key in ("message", "title", "authors"))


def test_the_image_installs_what_exists() -> None:
    text = (ROOT / "Dockerfile").read_text()
    extras = text.partition("/opt/trm[")[2].partition("]")[0].split(",")
    declared = (ROOT / "setup.cfg").read_text().partition("[options.extras_require]")[2]
    assert extras and all(f"\n{extra} =\n" in declared for extra in extras)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not set(ignored) & set(SHIPPED)


@pytest.mark.slow  # setuptools builds twice, pip once
def test_an_index_takes_both_packages(tmp_path: Path) -> None:
    source, dist = tmp_path / "source", tmp_path / "dist"
    copy_tree(source)
    ask = {"cwd": source, "capture_output": True, "text": True, "env": {**os.environ, "NO_COLOR": "1"}}
    done = subprocess.run([sys.executable, "-c", BUILD.format(str(dist))], **ask)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    checked = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)], **ask)  # type: ignore[call-overload]
    assert checked.returncode == 0, checked.stdout + checked.stderr
    # The sdist holds what the wheel is made of: one made of it alone has the same files.
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = tmp_path / "again"
    build = [sys.executable, "-c", BUILD.format(str(again))]
    done = subprocess.run(build, **{**ask, "cwd": unpacked})  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(next(again.glob("*.whl"))) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())
        (metadata,) = [name for name in first.namelist() if name.endswith("METADATA")]
        text = first.read(metadata).decode()
    for line in ("Requires-Python: >=3.11", "Description-Content-Type: text/markdown", "License-File: LICENSE"):
        assert line in text
