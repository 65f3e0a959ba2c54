"""Mutated configurations: a message with a place, or a valid configuration; never another exception."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.mutations import FILE_MUTATIONS, mutated_override
from trm_cli.config.compose import compose, load_run_config
from trm_cli.config.dump import dump_config
from trm_cli.errors import ConfigError, UsageError

PLACE = re.compile(r"(.+:\d+:\d+|MODEL)$")


def outcome(action: Callable[[], object], overrides: Sequence[str] = ()) -> str:
    try:
        action()
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert PLACE.match(problem.where) or problem.where in overrides, problem
            assert problem.message
            assert len(problem.message) < 500, problem
        places = [problem.where for problem in error.problems]
        assert len(places) == len(set(zip(places, (problem.message for problem in error.problems), strict=True)))
        return "refused"
    except UsageError as error:
        assert error.message
        return "refused"
    return "valid"


def mutate(rng: random.Random, originals: dict[Path, bytes]) -> tuple[list[str], Path | None]:
    """Damage one file, or add overrides, or both; returns the overrides and the file."""
    overrides = []
    if rng.random() < 0.3:
        overrides = [mutated_override(rng) for _ in range(rng.randint(1, 3))]
    if overrides and rng.random() < 0.7:
        return overrides, None
    path = rng.choice(list(originals))
    raw = originals[path]
    for _ in range(rng.randint(1, 2)):
        raw = rng.choice(FILE_MUTATIONS)(rng, raw) or b"x"
    path.write_bytes(raw)
    return overrides, path


@pytest.mark.parametrize("count", [250, pytest.param(1000, marks=pytest.mark.slow)])
def test_mutated_files_and_overrides(count: int, configs: Path) -> None:
    names = (
        "cfg_pretrain",
        "arch/trm_quickstart",
        "arch/multimodal_hesc",
        "models/sudoku-4x4",
        "models/vision-unified",
    )
    originals = {path: path.read_bytes() for path in (configs / f"{name}.yaml" for name in names)}
    seen: Counter[str] = Counter()
    for seed in range(count):
        rng = random.Random(seed)
        overrides, damaged = mutate(rng, originals)
        model = rng.choice(("sudoku-4x4", "vision-unified", None))
        seen[outcome(lambda model=model, overrides=overrides: compose(model, overrides), overrides)] += 1
        if damaged is not None:
            damaged.write_bytes(originals[damaged])
    assert seen["refused"] > count // 3
    assert seen["valid"] > count // 20


def test_mutations_of_a_run_s_config(configs: Path) -> None:
    path = configs.parent / "config.yaml"
    raw = dump_config(compose("sudoku-4x4")).encode()
    for seed in range(200):
        rng = random.Random(seed)
        path.write_bytes(rng.choice(FILE_MUTATIONS)(rng, raw))
        outcome(lambda: load_run_config(path))


@pytest.mark.parametrize(
    "words",
    [
        ["sudoku-4x4", "lr=on"],
        ["sudoku-4x5"],
        ["a\x1b[31mb"],
        ["--", "lr=\udcff"],
        ["sudoku-4x4", "vision-unified"],
        ["model_with_tab.yaml"],
        ["model_recursive.yaml"],
        ["model_bytes.yaml"],
        ["model_empty.yaml"],
        ["."],
    ],
)
def test_the_program_itself(configs: Path, words: list[str]) -> None:
    good = (configs / "models" / "sudoku-4x4.yaml").read_bytes()
    Path("model_with_tab.yaml").write_bytes(good.replace(b"  train:", b"\ttrain:"))
    Path("model_recursive.yaml").write_bytes(good.replace(b"[2, 2]", b"&b [2, *b]"))
    Path("model_bytes.yaml").write_bytes(good.replace(b"Sudoku", b"Sud\xff\xfeoku"))
    Path("model_empty.yaml").write_bytes(b"")
    encoded = [word.encode("utf-8", "surrogateescape") for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "trm_cli", "configs", "show", *encoded],
        capture_output=True,
        check=False,
        env={**_environment(), "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    shown = done.stderr.decode("utf-8", "replace")
    assert done.returncode == 2, shown
    assert "Traceback" not in shown
    two_names = sum("=" not in word for word in words) > 1
    assert ("only one MODEL is allowed" if two_names else "error: 1 problem in") in shown
    assert "\x1b" not in shown
    assert done.stdout == b""


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)
