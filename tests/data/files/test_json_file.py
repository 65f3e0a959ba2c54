"""One reader for JSON: whatever is wrong with a file, one message that names it, in the class that the caller wants."""

from __future__ import annotations

from pathlib import Path

import pytest

from trm_cli.data.files.json_file import parse_json, read_json
from trm_cli.errors import CheckpointError, DatasetError, UsageError

WRONG = {
    '{"a": 1,\n "b" 2}': r"file\.json:2:6: damaged JSON: Expecting ':' delimiter",
    "[" * 200_000: r"file\.json: damaged JSON: nested too deeply",
    '{"a":' * 200_000: r"file\.json: damaged JSON: nested too deeply",
    "1" * 5_000: r"file\.json: damaged JSON: a number has too many digits",
    '{"x": {"a": 1, "b": 2, "a": 3}}': r"file\.json: damaged JSON: the key 'a' stands twice",
    "": r"file\.json:1:1: damaged JSON",
}


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_a_damaged_file_is_one_message(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=WRONG[text]) as told:
        read_json(path, error=CheckpointError, hint="again")
    assert told.value.hint == "again"


def test_what_the_system_refuses_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_bytes(b'"\xff"')
    with pytest.raises(DatasetError, match=r"file\.json is damaged: not UTF-8 text \(byte 1\)"):
        read_json(tmp_path / "file.json")
    with pytest.raises(DatasetError, match=r"none\.json is missing"):
        read_json(tmp_path / "none.json")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_json(tmp_path)


def test_a_line_of_a_file_is_named_by_its_number() -> None:
    assert parse_json('{"a": [1, 2.5, null]}', "x") == {"a": [1, 2.5, None]}
    with pytest.raises(UsageError, match="notes:7:4: damaged JSON"):
        parse_json("[1 2]", "notes", error=UsageError, line=7)
    with pytest.raises(DatasetError, match="notes:7: damaged JSON: the key"):
        parse_json(b'{"a": 1, "a": 1}', "notes", line=7)
