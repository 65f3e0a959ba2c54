"""The grammar of `key=value`."""

from __future__ import annotations

import pytest

from trm_cli.config.sources.overrides import parse_overrides


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("epochs=10", ("epochs",), 10),
        ("+epochs=10", ("epochs",), 10),
        ("arch.hidden_size=256", ("arch", "hidden_size"), 256),
        ("checkpoint_path=a=b", ("checkpoint_path",), "a=b"),
        ("data_paths=[a,b]", ("data_paths",), ["a", "b"]),
        ("arch={H_cycles: 2}", ("arch",), {"H_cycles": 2}),
        ("lr=1e-4", ("lr",), 1e-4),
        ("load_checkpoint=", ("load_checkpoint",), None),
    ],
)
def test_override(word: str, key: tuple[str, ...], value: object) -> None:
    [override], problems = parse_overrides([word])
    assert (override.key, override.value, override.where, problems) == (key, value, "override 1", [])


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("sudoku-4x4", "is it a second model?", "key=value"),
        ("~lr=1", "Hydra", "write lr=1"),
        ("++lr=1", "Hydra", "write lr=1"),
        ("=1", "is not a key", ""),
        ("a..b=1", "is not a key", ""),
        ("a b=1", "is not a key", ""),
        ("lr=010", "leading zero", ""),
        ("lr=[1", "not YAML", ""),
        ("lr={a:1}", "space after the colon", ""),
        ("lr=\udcff", "U+DCFF", ""),
    ],
)
def test_a_word_that_is_no_override(word: str, message: str, hint: str) -> None:
    overrides, [problem] = parse_overrides(["epochs=1", word])
    assert len(overrides) == 1
    assert problem.where == "override 2"
    assert message in problem.message
    assert hint in problem.hint
