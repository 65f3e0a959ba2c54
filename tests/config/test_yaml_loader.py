"""YAML 1.2 scalars, places, and every kind of damage as a problem instead of an exception."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from trm_cli.config.sources.yaml_loader import MAX_BYTES, load_yaml, parse_scalar, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1E5", 1e5), ("-.5", -0.5), ("6.", 6.0), ("+3", 3), ("0", 0), ("-0", 0),
        ("0x1f", 31), ("0o17", 15), ("017e1", 170.0),
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"), ("12:30", "12:30"), ("1_000", "1_000"),
        ("2024-01-02", "2024-01-02"), ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("tRue", "tRue"), ("1e", "1e"), ("e5", "e5"), (".", "."), ('"010"', "010"), ("'1e-4'", "1e-4"),
        ("[a,b]", ["a", "b"]), ("[1, 1e-4, on]", [1, 1e-4, "on"]), ("{a: 1}", {"a": 1}), ("[]", []),
        ("a=b", "a=b"), ("a: b", "a: b"), ("x # y", "x # y"), ("*x", "*x"), ("&x", "&x"), ("!x", "!x"), ("@", "@"),
    ],
)  # fmt: skip
def test_scalar(text: str, value: Any) -> None:
    found = parse_scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_infinities_are_floats() -> None:
    assert parse_scalar(".inf") == math.inf
    assert parse_scalar("-.INF") == -math.inf
    assert math.isnan(parse_scalar(".nan"))


@pytest.mark.parametrize(
    "text", ["010", "-007", "00", "9" * 20, "[1,", "'x", '"\\q"', "{a:1}", "[*x]", "[1] 2", "a\0b"]
)
def test_scalar_that_nobody_should_guess(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        parse_scalar(text)


def test_numbers_of_a_document() -> None:
    document = parse_yaml("a: 1e-4\nb: on\nc: '010'\nd: 12:30\ne:\n  - 1\n  - no\nf: !!str 5\n", "f.yaml")
    assert document.problems == []
    assert document.data == {"a": 1e-4, "b": "on", "c": "010", "d": "12:30", "e": [1, "no"], "f": "5"}
    assert document.where(("b",)) == "f.yaml:2:1"
    assert document.where(("e", 1)) == "f.yaml:7:5"
    assert document.where(("e", 1, "deeper")) == "f.yaml:7:5"


def test_anchors_are_written_out() -> None:
    document = parse_yaml("a: &x [1, 2]\nb: *x\nc: *x\n", "f.yaml")
    assert document.problems == []
    assert document.data == {"a": [1, 2], "b": [1, 2], "c": [1, 2]}


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("a: 1\nb: 2\n\na: 3\n", "4:1", "duplicate key `a` (first at line 1)"),
        ("a:\n  b: 1\n  b: 2\n", "3:3", "duplicate key `a.b`"),
        ("a:\n\tb: 1\n", "2:1", "tab"),
        ("a:\n  b: 1\n \tc: 1\n", "3:2", "tab"),
        ("a: &x [*x]\n", "1:4", "contains itself"),
        ("a: &x {b: [*x]}\n", "1:4", "contains itself"),
        ("&r\na: *r\n", "1:1", "contains itself"),
        ("a: *nowhere\n", "1:4", "undefined alias"),
        ("- 1\n- 2\n", "1:1", "found a list"),
        ("just text\n", "1:1", "found a single value"),
        ("", "1:1", "empty"),
        ("# only a comment\n", "1:1", "empty"),
        ("a: [1\n", "1:4", "flow sequence"),
        ("a: [1\nb: 2\n", "2:2", "flow sequence"),
        ("a: 'x\n", "1:4", "quoted scalar"),
        ("a: 1\n b: 2\n", "2:3", "not YAML"),
        ("a: {b:1}\n", "1:5", "space after the colon"),
        ("<<: {a: 1}\n", "1:1", "merge keys"),
        ("1: a\n", "1:1", "a key must be a word, found 1"),
        ("? [a]\n: 1\n", "1:3", "found a list"),
        ("null: 1\n", "1:1", "found null"),
        ("a: !!python/object/apply:os.system [ls]\n", "1:4", "not supported"),
        ("a: !thing x\n", "1:4", "not supported"),
        ("a: 1\n---\nb: 1\n", "2:1", "another document"),
        ("a: 010\n", "1:4", "leading zero"),
        ("a: 1\nb: \0\n", "2:4", "U+0000"),
        ("a: " + "[" * 40 + "]" * 40, "1:35", "too deeply"),
        ("a: " + "[" * 100_000, "1:1", "too deeply"),
        ("- " * 100_000, "1:1", "too deeply"),
    ],
)  # fmt: skip
def test_damage_is_a_problem_with_a_place(text: str, place: str, word: str) -> None:
    document = parse_yaml(text, "f.yaml")
    assert [problem.where for problem in document.problems] == [f"f.yaml:{place}"]
    assert word in document.problems[0].message


def test_all_problems_at_once_and_the_rest_is_read() -> None:
    document = parse_yaml("a: 010\nb: 2\nb: 3\nc: !x 1\nd: 4\n", "f.yaml")
    assert [problem.where for problem in document.problems] == ["f.yaml:1:4", "f.yaml:3:1", "f.yaml:4:4"]
    assert document.data == {"b": 2, "d": 4}


def test_aliases_cannot_explode() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 9)]
    document = parse_yaml("\n".join(lines), "f.yaml")
    assert len(document.problems) == 1
    assert "aliases" in document.problems[0].message


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    [problem] = load_yaml(path, "f.yaml").problems
    assert (problem.where, problem.message) == ("f.yaml:2:7", "byte 0xe9 is not UTF-8")


def test_a_byte_order_mark_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    document = load_yaml(path)
    assert (document.data, document.problems) == ({"a": 1, "b": 2}, [])


@pytest.mark.parametrize("make", ["missing", "folder", "huge"])
def test_a_file_that_cannot_be_read(tmp_path: Path, make: str) -> None:
    path = tmp_path / "f.yaml"
    if make == "folder":
        path.mkdir()
    elif make == "huge":
        path.write_bytes(b"#" * (MAX_BYTES + 1))
    [problem] = load_yaml(path, "f.yaml").problems
    assert problem.where == "f.yaml:1:1"


def test_the_pure_python_parser_says_the_same() -> None:
    """PyYAML may have been installed without libyaml."""
    import subprocess
    import sys

    code = (
        "import yaml; yaml.__with_libyaml__ = False\n"
        "from trm_cli.config.sources.yaml_loader import parse_yaml\n"
        "d = parse_yaml('a: 1e-4\\nb: on\\nb: [1, {c: 010}]\\n', 'f')\n"
        "print(d.data, [p.where for p in d.problems], parse_yaml('a: [1', 'f').problems[0].where)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'a': 0.0001, 'b': 'on'} ['f:3:1'] f:1:4"
