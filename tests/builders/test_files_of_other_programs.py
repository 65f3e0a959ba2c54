"""Tables and texts as Excel, Notepad, PowerShell and Kaggle write them are read as their authors meant."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dataset_builders import maze, sudoku, text
from tests.builders.test_sudoku_sources import rows

pytestmark = pytest.mark.usefixtures("compiled")

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be-mark", "utf-32")
#: name -> (header, form of a line)
TABLES: dict[str, tuple[str | None, str]] = {
    "quizzes": ("quizzes,solutions", "{q},{a}"),
    "kaggle": ("id,puzzle,solution,clues,difficulty", "{n},{q},{a},24,2.2"),
    "capitals": ("Question,Answer", "{q},{a}"),
    "spaces": ("question, answer", "{q}, {a}"),
    "semicolons": ("question;answer", "{q};{a}"),
    "tabs": ("puzzle\tsolution", "{q}\t{a}"),
    "no header": (None, "{q},{a}"),
    "no header, numbered": (None, "{n};{q};{a}"),
    "quoted": ('"question","answer"', '"{q}", "{a}"'),
}


@cache
def boards() -> list[tuple[str, str]]:
    """Questions with their answers; made when they are asked for, since what makes them is compiled first."""
    return [(row[1], row[2]) for row in rows(30, test=False) + rows(6, test=True)]


def encoded(content: str, encoding: str) -> bytes:
    if encoding == "utf-16-be-mark":
        return b"\xfe\xff" + content.encode("utf-16-be")
    return content.encode(encoding)


def table(name: str, blank: str = "0", end: str = "\n") -> str:
    header, line = TABLES[name]
    lines = [line.format(n=n, q=q.replace(".", blank), a=a) for n, (q, a) in enumerate(boards())]
    return end.join([*([header] if header else []), *lines]) + end


def build(root: Path, source: Path, *flags: str) -> int:
    return sudoku.main(
        ["--output-dir", str(root), "--box", "2", "2", "--num-aug", "0", "--source", str(source), *flags]
    )


def training_inputs(root: Path) -> bytes:
    return (root / "train/all__inputs.npy").read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The inputs of the plainest table."""
    root = tmp_path_factory.mktemp("plain")
    (root / "a.csv").write_text(table("quizzes").replace("quizzes,solutions", "question,answer"))
    assert build(root / "d", root / "a.csv") == 0
    return training_inputs(root / "d")


@pytest.mark.parametrize("name", TABLES)
def test_tables_as_they_are_published(name: str, tmp_path: Path, plain: bytes) -> None:
    (tmp_path / "a.csv").write_text(table(name))
    assert build(tmp_path / "d", tmp_path / "a.csv") == 0
    assert training_inputs(tmp_path / "d") == plain


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_byte_order_marks(encoding: str, tmp_path: Path, plain: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(encoded(table("quizzes", end="\r\n"), encoding))
    assert build(tmp_path / "d", tmp_path / "a.csv") == 0
    assert training_inputs(tmp_path / "d") == plain


@pytest.mark.parametrize("blank", [*"._?*-xX"])
def test_blanks_of_boards(blank: str, tmp_path: Path, plain: bytes) -> None:
    (tmp_path / "a.csv").write_text(table("quizzes", blank))
    assert build(tmp_path / "d", tmp_path / "a.csv") == 0
    assert training_inputs(tmp_path / "d") == plain


def test_blank_lines_anywhere(tmp_path: Path, plain: bytes) -> None:
    lines = table("quizzes").split("\n")
    (tmp_path / "a.csv").write_text("\n".join(["", *lines[:5], "", ",", "  ", *lines[5:], "", " \n"]))
    assert build(tmp_path / "d", tmp_path / "a.csv") == 0
    assert training_inputs(tmp_path / "d") == plain


def test_columns_of_any_name(tmp_path: Path, plain: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(table("quizzes").replace("quizzes,solutions", "given,filled in"))
    assert build(tmp_path / "d", tmp_path / "a.csv") == 3
    message = capsys.readouterr().err
    assert "has no column question, answer: it has given, filled in" in message
    assert "--columns question=NAME answer=NAME" in message
    assert build(tmp_path / "d", tmp_path / "a.csv", "--columns", "question=given", "answer=filled in") == 0
    assert training_inputs(tmp_path / "d") == plain
    assert json.loads((tmp_path / "d/manifest.json").read_text())["flags"]["columns"]
    assert build(tmp_path / "e", tmp_path / "a.csv", "--columns", "quiz=given") == 2


def test_ratings_with_a_fraction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(table("kaggle").replace("24,2.2\n", "24,7.5\n", 9))
    assert build(tmp_path / "d", tmp_path / "a.csv", "--max-difficulty", "2.5") == 0
    assert set(np.load(tmp_path / "d/train/all__ratings.npy").tolist()) == {2}
    said = capsys.readouterr().err
    assert "36 ratings rounded to whole numbers" in said
    assert "9 puzzles left out by --min-difficulty and --max-difficulty" in said


def test_repeats_are_said_and_left_out_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = table("quizzes")
    (tmp_path / "a.csv").write_text(content + "\n".join(content.splitlines()[1:5]) + "\n")
    assert build(tmp_path / "d", tmp_path / "a.csv") == 0
    assert "4 training puzzles repeat another (--unique leaves them out)" in capsys.readouterr().err
    assert build(tmp_path / "e", tmp_path / "a.csv", "--unique") == 0
    assert "4 training puzzles left out: repeats of another" in capsys.readouterr().err
    trained = [len(np.load(tmp_path / name / "train/all__inputs.npy")) for name in "de"]
    assert trained[0] - trained[1] == 4
    assert json.loads((tmp_path / "e/manifest.json").read_text())["planned"]["counts"]


def test_a_board_of_another_size_leads_to_its_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(table("quizzes"))
    assert sudoku.main(["--output-dir", str(tmp_path / "d"), "--source", str(tmp_path / "a.csv")]) == 3
    message = capsys.readouterr().err
    assert f"{tmp_path}/a.csv:2: question has 16 characters, a 9x9 board 81" in message
    assert "--box 2 2" in message


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_tables_of_mazes(encoding: str, tmp_path: Path) -> None:
    """Spaces are cells of a maze: none of them is cut off."""
    lines = {"train": [(" S  ### G   ####", " Soo###oGooo####")], "test": [("S  G############", "SooG############")]}
    for split, mazes in lines.items():
        content = "\r\n".join(["Maze;Solution", *(f"{q};{a}" for q, a in mazes), ""])
        (tmp_path / f"{split}.csv").write_bytes(encoded(content, encoding))
    assert maze.main(["--output-dir", str(tmp_path / "d"), "--source", str(tmp_path)]) == 0
    assert np.load(tmp_path / "d/train/all__inputs.npy").shape == (1, 16)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
def test_marks_are_no_text(encoding: str, suffix: str, tmp_path: Path) -> None:
    texts = [f"Document {n} \u00e9 " + "x" * n for n in range(40)]
    content = "<|endoftext|>".join(texts) if suffix == ".txt" else "\n".join(json.dumps({"text": t}) for t in texts)
    found = []
    for name in ("utf-8", encoding):
        source = tmp_path / name / f"a{suffix}"
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(encoded(content, name))
        root = tmp_path / f"d-{name}"
        assert text.main(["--output-dir", str(root), "--source", str(source), "--test-share", "0.2"]) == 0
        found.append(json.loads((root / "manifest.json").read_text())["files"])
    assert found[0] == found[1]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", ["objects", "strings", "own field"])
def test_an_array_of_records_is_many_documents(form: str, encoding: str, tmp_path: Path) -> None:
    texts = [f"Document {n} \u00e9 " + "x" * n for n in range(40)]
    key = {"objects": "text", "own field": "abstract"}.get(form)
    (tmp_path / "a.json").write_bytes(encoded(json.dumps([{key: t} if key else t for t in texts]), encoding))
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, texts)))
    flags = ["--test-share", "0.2", *(["--text-field", "abstract"] if form == "own field" else [])]
    found = []
    for name in ("a.json", "b.jsonl"):
        root = tmp_path / name[0]
        assert text.main(["--output-dir", str(root), "--source", str(tmp_path / name), *flags]) == 0
        found.append(json.loads((root / "manifest.json").read_text())["files"])
    assert found[0] == found[1]


def test_other_json_is_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for number, document in enumerate([{"text": "one"}, [1, 2], [{"size": 3}], ["a", 4], {"a": ["text"]}]):
        (tmp_path / "in" / f"{number}.json").write_text(json.dumps(document))
    flags = ["--output-dir", str(tmp_path / "d"), "--source", str(tmp_path / "in"), "--test-share", "0.5"]
    assert text.main([*flags, "--seq-len", "8"]) == 0
    assert "5 documents" in capsys.readouterr().err
    (tmp_path / "in/5.json").write_text('[{"text": "a"}, {"text"')
    assert text.main([*flags, "--seq-len", "8", "--rebuild"]) == 3
    assert "5.json:1:24: damaged JSON" in capsys.readouterr().err


def test_one_text_alone_is_told_how_to_be_divided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "book.txt").write_text("Once upon a time. " * 40)
    flags = ["--output-dir", str(tmp_path / "d"), "--test-share", "0.4", "--source", str(tmp_path / "book.txt")]
    assert text.main(flags) == 3
    assert "put <|endoftext|> between the parts" in capsys.readouterr().err
    (tmp_path / "book.txt").write_text("<|endoftext|>".join(f"Chapter {n}. " * 40 for n in range(12)))
    assert text.main(flags) == 0


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_labels_of_pictures_and_models(encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    from dataset_builders import streaming_builder
    from trm_cli.config.compose import compose
    from trm_cli.config.registry import SHIPPED

    (tmp_path / "p").mkdir()
    for number in range(30):
        Image.fromarray(np.full((8, 8, 3), number * 8, np.uint8)).save(tmp_path / f"p/{number}.png")
    lines = ["file,label", *(f"{number}.png,cat" for number in range(30)), "", " "]
    (tmp_path / "p/labels.csv").write_bytes(encoded("\r\n".join(lines), encoding))
    flags = ["--sources", f"images:{tmp_path}/p", "stories", "--limits", "stories=300", "--workers", "1"]
    assert streaming_builder.main(["--output-dir", str(tmp_path / "d"), *flags]) == 0, capsys.readouterr().err
    model = (SHIPPED / "models/sudoku-4x4.yaml").read_text().replace("\n", "\r\n")
    (tmp_path / "mine.yaml").write_bytes(encoded(model, encoding))
    assert compose(str(tmp_path / "mine.yaml")).config.epochs == compose("sudoku-4x4").config.epochs


# --- What other programs do to a file besides ---

OTHERS = {
    "named separator": lambda text: "sep=;\n" + text.replace(",", ";"),
    "named separator of Excel": lambda text: "\ufeffsep=\t\r\n" + text.replace(",", "\t").replace("\n", "\r\n"),
    "carriage returns alone": lambda text: text.replace("\n", "\r"),
    "remarks": lambda text: "# from a book, page 7\n\n" + text.replace("\n", "\n# the next one is hard\n", 3),
    "bars": lambda text: text.replace(",", "|"),
    "boards in four lines": lambda text: _in_lines(text, '"{q}","{a}"', "\n"),
    "boards with gaps": lambda text: _in_lines(text, "{q};{a}", " "),
}


def _in_lines(text: str, form: str, gap: str) -> str:
    """The table with a gap behind each row of each board."""
    parts = [[gap.join(board[at : at + 4] for at in range(0, 16, 4)) for board in pair] for pair in boards()]
    header = text.splitlines()[0].replace(",", ";" if ";" in form else ",")
    return "\n".join([header, *(form.format(q=q, a=a) for q, a in parts)])


@pytest.mark.parametrize("change", OTHERS)
def test_tables_after_another_program(change: str, tmp_path: Path, plain: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(OTHERS[change](table("quizzes")).encode())
    assert build(tmp_path / "d", tmp_path / "a.csv") == 0
    assert training_inputs(tmp_path / "d") == plain


def test_ratings_with_a_decimal_comma(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table("kaggle").replace(",", ";").replace("2.2", "2,2"))
    assert build(tmp_path / "d", tmp_path / "a.csv") == 0
    assert set(np.load(tmp_path / "d/train/all__ratings.npy").tolist()) == {2}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"question,answer\n"), "a.csv is compressed (`gunzip -k"),
        ("question,answer\n".encode("utf-16-le"), "a.csv is UTF-16 without a byte order mark"),
        ("question,answer\n".encode("utf-16-be"), "a.csv is UTF-16 without a byte order mark"),
        (bytes(300), "a.csv holds NUL bytes: it is not a text file"),
        (b"quest\0on,answer\n", "a.csv holds NUL bytes: it is not a text file"),
        (
            "question,answer,author\n1,2,Ren\u00e9\n".encode("latin-1"),
            "a.csv is not UTF-8 text (convert it first: `iconv -f WINDOWS-1252 -t UTF-8",
        ),
    ],
    ids=["gzip", "UTF-16 without a mark", "UTF-16, high bytes first", "NUL bytes", "one NUL byte", "latin-1"],
)
def test_what_is_no_table_is_told_in_one_message(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert build(tmp_path / "d", tmp_path / "a.csv") == 3
    message = capsys.readouterr().err
    assert said in message.replace(f"{tmp_path}/", "") and message.count("error:") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"Once upon a time"), "a.txt is compressed (`gunzip -k"),
        ("one\ntwo".encode("utf-16-le"), "a.txt:1: holds a zero byte: it is binary, or UTF-16 without a mark"),
        ("one\nRen\u00e9".encode("latin-1"), "a.txt:2: not UTF-8 text (byte 7 is 0xe9) (convert it first"),
    ],
    ids=["gzip", "UTF-16 without a mark", "latin-1"],
)
def test_what_is_no_text_is_told_in_one_message(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert text.main(["--output-dir", str(tmp_path / "d"), "--source", str(tmp_path / "a.txt")]) == 3
    message = capsys.readouterr().err
    assert said in message.replace(f"{tmp_path}/", "") and message.count("error:") == 1


@pytest.mark.parametrize(
    "header", ["file,label", "Filename;Class", "id\timage\tlabel", "sep=;\nfile;label", None], ids=repr
)
def test_labels_as_they_are_published(header: str | None, tmp_path: Path) -> None:
    from dataset_builders.lib.stream.pictures.folders import labelled_pictures

    mark = next((one for one in ",;\t" if header and one in header.splitlines()[-1]), ",")
    before = "7" + mark if header and header.startswith("id") else ""
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats/a 1.png").touch()
    (tmp_path / "b.png").touch()
    lines = [*([header] if header else []), f"{before}cats\\a 1.png{mark} cat", "", f'{before}"b.png"{mark}"dog"']
    (tmp_path / "labels.csv").write_text("\r\n".join(lines))
    assert labelled_pictures(tmp_path) == [(tmp_path / "cats/a 1.png", "cat"), (tmp_path / "b.png", "dog")]
