"""Read documents from files and folders: text, code, records, tables. Every error names its file and record.

One document is in memory at a time, whatever the size of its file. Standard library only, except that a parquet file
needs pyarrow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from trm_cli.data.files.file_format import SIGNATURE_BYTES, expect_text, to_utf8
from trm_cli.data.files.json_file import parse_json
from trm_cli.data.files.regular_file import open_regular
from trm_cli.errors import DatasetError
from trm_cli.paths import is_dir, is_file
from trm_cli.text_encoding import as_utf8, decode, encoding_of

from ..table_rows import table_rows
from .fields import TABLE_FIELDS, TextDocument, document_of, find_field, named_field

TEXT_SUFFIXES = (
    ".txt", ".text", ".md", ".rst", ".tex", ".html", ".xml", ".csv", ".tsv", ".json", ".yaml", ".yml", ".toml", ".py",
    ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".rs", ".go", ".java", ".kt", ".js", ".jsx", ".ts", ".tsx", ".rb",
    ".php", ".sh", ".sql", ".lua", ".swift", ".scala", ".hs", ".ml", ".jl", ".r", ".pl",
)  # fmt: skip
RECORD_SUFFIXES = (".jsonl", ".ndjson", ".parquet")
# Where one text file holds many documents, this stands between them (the form in which TinyStories is published).
_SEPARATOR = b"<|endoftext|>"
_KNOWN = frozenset(TEXT_SUFFIXES + RECORD_SUFFIXES)
_BLOCK_BYTES = 1 << 20
_PARQUET_ROWS = 1024
_TABLE_SUFFIXES = (".csv", ".tsv")
# How archives and stores of other programs are recognised in a folder without documents.
_PACKED = (".gz", ".zip", ".zst", ".xz", ".bz2", ".7z", ".tar", ".pdf", ".docx", ".epub", ".arrow")


def list_files(path: Path) -> Iterator[Path]:
    """Yield the files of a folder that can be read as documents, in order of their paths; a file is itself.

    Raises DatasetError for a path that does not exist and a folder without such files.
    """
    if is_file(path):
        yield path
        return
    if not is_dir(path):
        like_a_name = str(path).count("/") == 1 and not path.suffix
        at_hub = f"of the hub: --source hub:{path}" if like_a_name else None
        raise DatasetError(f"{path}: no such file or folder", hint=at_hub)
    if is_file(path / "dataset_dict.json") or is_file(path / "dataset_info.json"):
        load = f"datasets.load_from_disk({str(path)!r})"
        raise DatasetError(
            f"{path}: a dataset that `datasets` has saved", hint=f"write it as JSON lines: {load}['train'].to_json(...)"
        )
    found = False
    for file in _walk(path):
        found = True
        yield file
    if not found:
        packed = next((file for file in sorted(path.rglob("*")) if file.suffix.lower() in _PACKED), None)
        raise DatasetError(
            f"{path}: the folder holds no text, code, JSONL or parquet file",
            hint=f"files are known by their endings: {' '.join(TEXT_SUFFIXES[:8])} ..."
            if packed is None
            else f"{packed} has to be unpacked or converted first",
        )


def _walk(folder: Path) -> Iterator[Path]:
    """The documents below a folder; links to folders are not followed."""
    try:
        with os.scandir(folder) as listed:
            entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listed]
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read: {error.strerror}") from error
    # With its slash: so that the paths, not the names, are in order.
    for name, is_folder in sorted((name + "/" * is_folder, is_folder) for name, is_folder in entries):
        if name.startswith("."):
            continue
        if is_folder:
            yield from _walk(folder / name)
        elif name[name.rfind(".") :].lower() in _KNOWN and is_file(folder / name):
            yield folder / name


def read_documents(files: Iterable[Path], field: str | None = None) -> Iterator[TextDocument]:
    """Yield the documents of files in order. `field` names the text in JSON lines and parquet. Raises DatasetError."""
    for file in files:
        suffix = file.suffix.lower()
        if suffix == ".parquet":
            yield from _parquet(file, field)
            continue
        try:
            with open_regular(file) as opened:
                expect_text(file, opened.read(SIGNATURE_BYTES))
                opened.seek(0)
                yield from _in_file(opened, file, field)
        except UnicodeDecodeError as error:
            raise DatasetError(f"{file}: not the {error.encoding} text that its byte order mark promises") from error
        except OSError as error:
            raise DatasetError(f"{file}: cannot be read: {error.strerror}") from error


def _in_file(opened: BinaryIO, file: Path, field: str | None) -> Iterator[TextDocument]:
    suffix = file.suffix.lower()
    if suffix in _TABLE_SUFFIXES and (column := _column(file, field)) is not None:
        yield from _table(file, column)
        return
    if suffix == ".json" and (records := _records(opened, file, field)) is not None:
        for number, record in enumerate(records, start=1):
            yield document_of(record, f"{file}, record {number}", field)
        return
    lines = suffix in RECORD_SUFFIXES or (suffix == ".json" and _is_lines(opened, field))
    stream = as_utf8(opened)
    yield from _json_lines(stream, file, field) if lines else _text(stream, file)


def _text(stream: BinaryIO, file: Path) -> Iterator[TextDocument]:
    for number, (position, data, only) in enumerate(_separated(stream), start=1):
        text = _decode(data, file, position)
        if text.strip():
            yield TextDocument(str(file) if only else f"{file}, document {number}", text)


def _separated(stream: BinaryIO) -> Iterator[tuple[Position, bytes, bool]]:
    """Yield what stands between the separators of a file: where it begins, its bytes, and whether there is no other."""
    position, held, searched, only = Position(0, 1), bytearray(), 0, True
    while block := stream.read(_BLOCK_BYTES):
        held += block
        while (end := held.find(_SEPARATOR, searched)) >= 0:
            only = False
            yield position, bytes(held[:end]), only
            position = position.after(held[: end + len(_SEPARATOR)])
            del held[: end + len(_SEPARATOR)]
            searched = 0
        # A separator may be cut by the end of a block.
        searched = max(0, len(held) - len(_SEPARATOR) + 1)
    yield position, bytes(held), only


_ONE_A_LINE = "JSON lines hold a whole value a line; an array of records belongs in a file that ends in .json"


_LOOKED_AT = 4  # lines, to tell a record a line from one document


def _is_lines(stream: BinaryIO, field: str | None) -> bool:
    """Whether a JSON file holds a record with a text a line, as many are published; the stream is rewound."""
    lines = [line for line in islice(as_utf8(stream), _LOOKED_AT) if line.strip()]
    stream.seek(0)
    try:
        first = json.loads(lines[0]) if len(lines) > 1 else None
    except ValueError:
        return False
    return isinstance(first, dict) and named_field(first, field) is not None


def _json_lines(stream: BinaryIO, file: Path, field: str | None) -> Iterator[TextDocument]:
    start = 0
    # Lines of bytes end with \n alone: JSON strings may hold U+2028, which ends a line of text for Python.
    for number, data in enumerate(stream, start=1):
        lines = _decode(data, file, Position(start, number)).removesuffix("\n")
        start += len(data)
        for line in lines.split("\r"):  # which alone ends the lines of an old Mac's files
            if line.strip():
                yield document_of(parse_json(line, str(file), line=number, hint=_ONE_A_LINE), f"{file}:{number}", field)


def _records(stream: BinaryIO, file: Path, field: str | None) -> list[object] | None:
    """The records of a JSON file that is an array of texts; None for any other JSON, which is a text itself."""
    content = stream.read()
    stream.seek(0)
    text = decode(content) if encoding_of(content) != "utf-8" or content.lstrip()[:1] == b"[" else ""
    if not text.lstrip().startswith("["):
        return None
    records: list[object] = parse_json(text, str(file))
    are_texts = (isinstance(one, str) or (isinstance(one, dict) and named_field(one, field)) for one in records)
    return records if all(are_texts) else None


def _column(file: Path, field: str | None) -> int | None:
    """The column of a table that holds its texts; None where no column is called so: the table is a text itself."""
    _, header = next(table_rows(file, trimmed=False), (0, []))
    names = [name.strip() for name in header]
    name = named_field(names, field, TABLE_FIELDS)
    return None if name is None else names.index(name)


def _table(file: Path, column: int) -> Iterator[TextDocument]:
    rows = table_rows(file, trimmed=False)
    _, header = next(rows)
    for line, row in rows:
        if len(row) != len(header):
            raise DatasetError(f"{file}:{line} has {len(row)} fields, the first row {len(header)}")
        yield TextDocument(f"{file}:{line}", row[column])


class Position(NamedTuple):
    """A place in a file: bytes before it, and the number of its line."""

    offset: int
    line: int

    def after(self, data: bytes | bytearray) -> Position:
        """Return the place behind some bytes."""
        return Position(self.offset + len(data), self.line + data.count(b"\n"))


def _decode(data: bytes, file: Path, position: Position) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = position.after(data[: error.start])
        raise DatasetError(
            f"{file}:{place.line}: not UTF-8 text (byte {place.offset} is 0x{data[error.start]:02x})",
            hint=to_utf8(file),
        ) from error
    if (zero := data.find(b"\0")) >= 0:
        raise DatasetError(
            f"{file}:{position.after(data[:zero]).line}: holds a zero byte: it is binary, or UTF-16 without a mark",
            hint=to_utf8(file, "UTF-16LE"),
        )
    return text


def _parquet(file: Path, field: str | None) -> Iterator[TextDocument]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DatasetError(f"{file}: parquet needs the pyarrow package", hint="pip install pyarrow") from error
    try:
        # Opened here: pyarrow takes a name for an address, and refuses names that are not UTF-8.
        with open_regular(file) as stream:
            table = parquet.ParquetFile(stream)
            name = find_field(table.schema_arrow.names, str(file), field)
            number = 0
            for batch in table.iter_batches(_PARQUET_ROWS, columns=[name]):
                for text in batch.column(0).to_pylist():
                    number += 1
                    if not isinstance(text, str):
                        raise DatasetError(f"{file}, row {number}: the column {name!r} holds no text")
                    yield TextDocument(f"{file}, row {number}", text)
    except (OSError, pyarrow.ArrowException) as error:
        raise DatasetError(f"{file}: damaged parquet: {str(error).splitlines()[0]}") from error
