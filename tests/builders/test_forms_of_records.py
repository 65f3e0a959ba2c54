"""Puzzles and texts as records: JSON in its usual forms, columns of tables, what is no text at all."""

from __future__ import annotations

import json
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dataset_builders import maze, sudoku, text
from tests.builders.test_sudoku_sources import rows

TEXTS = [f"Document {n}: " + "x" * n for n in range(40)]


def _nested(board: str) -> list[list[int]]:
    return [[int(cell) if cell.isdigit() else 0 for cell in board[at : at + 4]] for at in range(0, 16, 4)]


def _listed(board: str) -> str:
    return "[" + ", ".join("0" if cell == "." else cell for cell in board) + "]"


@cache
def tables() -> dict[str, tuple[str, str]]:
    """File names and contents that all hold the same puzzles; made when asked for, after their maker is compiled."""
    boards = [(row[1], row[2]) for row in rows(12, test=False) + rows(6, test=True)]
    records = [{"id": n, "puzzle": q, "solution": a} for n, (q, a) in enumerate(boards)]
    return {
        "plain": ("a.csv", "question,answer\n" + "\n".join(f"{q},{a}" for q, a in boards)),
        "lines": ("a.jsonl", "\n".join(map(json.dumps, records))),
        "lines of an old Mac": ("a.ndjson", "\r".join(map(json.dumps, records))),
        "array": ("a.json", json.dumps(records, indent=1)),
        "grids": ("a.json", json.dumps([{"quizzes": _nested(q), "solutions": _nested(a)} for q, a in boards])),
        "spaces between": ("a.txt", "\n".join(f"{q} {a}" for q, a in boards)),
        "quoted twice": ("a.csv", "puzzle,solution\n" + "\n".join(f"'{q}','{a}'" for q, a in boards)),
        "lists": ("a.csv", "puzzle,solution\n" + "\n".join(f'"{_listed(q)}","{_listed(a)}"' for q, a in boards)),
    }


def _sudoku(root: Path, source: Path) -> int:
    return sudoku.main(["--output-dir", str(root), "--box", "2", "2", "--num-aug", "0", "--source", str(source)])


@pytest.mark.usefixtures("compiled")
def test_tables_in_other_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = {}
    for name, (file, content) in tables().items():
        source = tmp_path / name / file
        source.parent.mkdir()
        source.write_text(content)
        assert _sudoku(tmp_path / name / "d", source) == 0, (name, capsys.readouterr().err)
        assert f"{tmp_path}/{name}/d: complete, puzzles: 12 train, 6 test" in capsys.readouterr().err
        read[name] = (tmp_path / name / "d/train/all__inputs.npy").read_bytes()
    assert len(set(read.values())) == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("q.csv", "puzzle\n0010040030000002\n", "has one column, puzzle: no answers (training needs"),
        ("q.txt", "0010040030000002\n0400100400012000\n", "has one column, a board: no answers"),
        ("e.csv", "question,answer\n", "e.csv holds no puzzles"),
        ("n.csv", "question,answer\n10040030000002,1\n", "drops its leading zeros: keep the column as text"),
        ("s.csv", "question,answer\n1.00400E+13,1\n", "drops its leading zeros"),
        ("r.jsonl", '{"question": "1", "answer": "1"}\n[3]\n', "r.jsonl:2: expected a record (an object), found list"),
        ("r.jsonl", '{"question": "1",\n "answer": "1"}\n', "damaged JSON"),
        ("k.json", '[{"question": "1", "answer": "1"}, {"question": "1"}]', "the record has no 'answer'"),
    ],
)
def test_tables_without_what_is_needed(
    name: str, content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content)
    assert _sudoku(tmp_path / "d", tmp_path / name) == 3
    message = capsys.readouterr().err
    assert said in message and message.count("error:") == 1, message


@pytest.mark.usefixtures("compiled")
def test_the_tables_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my puzzles"
    folder.mkdir()
    assert _sudoku(tmp_path / "d", folder) == 3
    assert "holds no table (a directory needs train.csv and test.csv)" in capsys.readouterr().err
    (folder / "all.csv").write_text(tables()["plain"][1])
    assert _sudoku(tmp_path / "d", folder) == 3
    assert f"one table is divided: `--source '{folder}/all.csv'`" in capsys.readouterr().err


def _mazes(root: Path, source: Path) -> int:
    return maze.main(["--output-dir", str(root), "--source", str(source)])


@pytest.mark.usefixtures("compiled")
def test_one_table_of_mazes_is_divided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bits = ["".join(".#"[number >> bit & 1] for bit in range(9)) for number in range(1, 400, 13)]
    mazes = [f"S{free[:3]}o{free[3:6]}o{free[6:]}oooG" for free in bits]
    lines = [f"{one.replace('o', '.')},{one}" for one in mazes]
    (tmp_path / "a.csv").write_text("maze,solution\n" + "\n".join(lines))
    assert _mazes(tmp_path / "d", tmp_path / "a.csv") == 0, capsys.readouterr().err
    counts = [len(np.load(tmp_path / "d" / split / "all__inputs.npy")) for split in ("train", "test")]
    assert min(counts) > 0 and sum(counts) <= len(lines)


# --- Texts ---


def _text(root: Path, *sources: Path, field: str | None = None) -> int:
    flags = ["--test-share", "0.2", "--seq-len", "32", *(["--text-field", field] if field else [])]
    return text.main(["--output-dir", str(root), *flags, "--source", *map(str, sources)])


#: File name, content, and the field that is named; all hold the same texts.
DOCUMENTS: dict[str, tuple[str, str, str | None]] = {
    "strings": ("a.jsonl", "\n".join(map(json.dumps, TEXTS)), None),
    "any case": ("a.jsonl", "\n".join(json.dumps({"ID": n, "TEXT": one}) for n, one in enumerate(TEXTS)), None),
    "lines in a .json": ("a.json", "\n".join(json.dumps({"content": one}) for one in TEXTS), None),
    "an old Mac": ("a.jsonl", "\r".join(json.dumps({"text": one}) for one in TEXTS), None),
    "column": ("a.csv", "id,story\r\n" + "\r\n".join(f'{n},"{one}"' for n, one in enumerate(TEXTS)), None),
    "named column": ("a.tsv", "\ufeffid\treview\n" + "\n".join(f"{n}\t{one}" for n, one in enumerate(TEXTS)), "review"),
    "named field": ("a.json", "\n".join(json.dumps({"output": one}) for one in TEXTS), "output"),
}


def test_texts_in_other_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = {}
    for name, (file, content, field) in DOCUMENTS.items():
        source = tmp_path / name / file
        source.parent.mkdir()
        source.write_bytes(content.encode())
        assert _text(tmp_path / name / "d", source, field=field) == 0, (name, capsys.readouterr().err)
        read[name] = [(tmp_path / name / "d" / split / "all__tokens.npy").read_bytes() for split in ("train", "test")]
    assert all(one == read["strings"] for one in read.values())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"id": "7", "prompt": "a long text"}', "(name it: `--text-field prompt`)"),
        ("a.jsonl", '{"messages": [{"role": "user", "content": "x"}]}', "conversations are not read turn by turn"),
        ("a.jsonl", '{"text": 7, "title": "x"}', "the field 'text' holds no text (name it: `--text-field title`)"),
        ("a.jsonl", '{\n "text": "x"\n}', "JSON lines hold a whole value a line"),
        ("a.jsonl", '["x", "y"]', "expected an object or a string, found list"),
        ("a.json", '[{"messages": []}]', "name another: --text-field NAME"),
        ("a.csv", "id,review\n1,x\n", "name another: --text-field NAME"),
        ("a.csv", "id,text\n1,x,y\n", "a.csv:2 has 3 fields, the first row 2"),
        ("a.pdf", "%PDF-1.7 \n", "is a PDF (extract its text"),
    ],
)
def test_texts_that_are_not_found(
    name: str, content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content)
    assert _text(tmp_path / "d", tmp_path / name) == 3
    message = capsys.readouterr().err
    assert said in message and message.count("error:") == 1, message


@pytest.mark.parametrize("suffix", [".zip", ".xlsx", ".docx"])
def test_archives_are_named(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(tmp_path / f"a{suffix}", "w") as archive:
        archive.writestr("a.csv", "question,answer\n")
    said = {
        ".zip": "is a zip archive (`unzip ",
        ".xlsx": "is an Excel workbook (save it as CSV",
        ".docx": "Word document",
    }
    for built in (_sudoku, _text):
        assert built(tmp_path / "d", tmp_path / f"a{suffix}") == 3
        assert said[suffix] in capsys.readouterr().err


def test_folders_of_other_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "saved/train").mkdir(parents=True)
    (tmp_path / "saved/dataset_dict.json").write_text('{"splits": ["train"]}')
    assert _text(tmp_path / "d", tmp_path / "saved") == 3
    assert "a dataset that `datasets` has saved" in capsys.readouterr().err
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed/a.jsonl.gz").touch()
    assert _text(tmp_path / "d", tmp_path / "packed") == 3
    assert "packed/a.jsonl.gz has to be unpacked or converted first" in capsys.readouterr().err
    assert _text(tmp_path / "d", Path("someone/stories")) == 3
    assert "of the hub: --source hub:someone/stories" in capsys.readouterr().err
