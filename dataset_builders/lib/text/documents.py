"""Read documents from files and folders: text, code, JSON lines, parquet. Every error names its file and record.

One document is in memory at a time, whatever the size of its file. Standard library only, except that a parquet file
needs pyarrow.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from trm_cli.data.files.json_file import parse_json
from trm_cli.data.files.regular_file import open_regular
from trm_cli.errors import DatasetError
from trm_cli.paths import is_dir, is_file
from trm_cli.shell import command_line
from trm_cli.text_encoding import GZIP, as_utf8, decode, encoding_of

TEXT_SUFFIXES = (
    ".txt", ".text", ".md", ".rst", ".tex", ".html", ".xml", ".csv", ".json", ".yaml", ".yml", ".toml", ".py", ".pyi",
    ".c", ".h", ".cc", ".cpp", ".hpp", ".rs", ".go", ".java", ".kt", ".js", ".jsx", ".ts", ".tsx", ".rb", ".php",
    ".sh", ".sql", ".lua", ".swift", ".scala", ".hs", ".ml", ".jl", ".r", ".pl",
)  # fmt: skip
RECORD_SUFFIXES = (".jsonl", ".ndjson", ".parquet")
# Where one text file holds many documents, this stands between them (the form in which TinyStories is published).
_SEPARATOR = b"<|endoftext|>"
_KNOWN = frozenset(TEXT_SUFFIXES + RECORD_SUFFIXES)
_BLOCK_BYTES = 1 << 20
_PARQUET_ROWS = 1024
TEXT_FIELDS = ("text", "story", "content", "code", "body")


class TextDocument(NamedTuple):
    """One text and where it was found, for messages."""

    where: str
    text: str


def list_files(path: Path) -> Iterator[Path]:
    """Yield the files of a folder that can be read as documents, in order of their paths; a file is itself.

    Raises DatasetError for a path that does not exist and a folder without such files.
    """
    if is_file(path):
        yield path
        return
    if not is_dir(path):
        raise DatasetError(f"{path}: no such file or folder")
    found = False
    for file in _walk(path):
        found = True
        yield file
    if not found:
        raise DatasetError(
            f"{path}: the folder holds no text, code, JSONL or parquet file",
            hint=f"files are known by their endings: {' '.join(TEXT_SUFFIXES[:8])} ...",
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
                records = _records(opened, file, field) if suffix == ".json" else None
                stream = as_utf8(opened)
                if records is not None:
                    yield from (_document(one, f"{file}, record {n}", field) for n, one in enumerate(records, start=1))
                else:
                    yield from _json_lines(stream, file, field) if suffix in RECORD_SUFFIXES else _text(stream, file)
        except UnicodeDecodeError as error:
            raise DatasetError(f"{file}: not the {error.encoding} text that its byte order mark promises") from error
        except OSError as error:
            raise DatasetError(f"{file}: cannot be read: {error.strerror}") from error


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


def _json_lines(stream: BinaryIO, file: Path, field: str | None) -> Iterator[TextDocument]:
    start = 0
    # Lines of bytes end with \n alone: JSON strings may hold U+2028, which ends a line of text for Python.
    for number, data in enumerate(stream, start=1):
        line = _decode(data, file, Position(start, number)).removesuffix("\n")
        start += len(data)
        if not line.strip():
            continue
        yield _document(parse_json(line, str(file), line=number), f"{file}:{number}", field)


def _records(stream: BinaryIO, file: Path, field: str | None) -> list[object] | None:
    """The records of a JSON file that is an array of texts; None for any other JSON, which is a text itself."""
    content = stream.read()
    stream.seek(0)
    text = decode(content) if encoding_of(content) != "utf-8" or content.lstrip()[:1] == b"[" else ""
    if not text.lstrip().startswith("["):
        return None
    records: list[object] = parse_json(text, str(file))
    fields = {field} if field else {*TEXT_FIELDS}
    are_texts = (isinstance(one, str) or (isinstance(one, dict) and fields & one.keys()) for one in records)
    return records if all(are_texts) else None


def _document(record: object, where: str, field: str | None) -> TextDocument:
    """The text of a JSON value: itself, or that of one of its fields."""
    if isinstance(record, str):
        return TextDocument(where, record)
    if not isinstance(record, dict):
        raise DatasetError(f"{where}: expected an object or a string, found {type(record).__name__}")
    name = field or find_field(list(record), where)
    text = record.get(name)
    if not isinstance(text, str):
        raise DatasetError(f"{where}: the field {name!r} holds no text", hint="name the field: --text-field NAME")
    return TextDocument(where, text)


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
        if not position.offset and data.startswith(GZIP):
            raise DatasetError(
                f"{file}: is compressed", hint=f"`{command_line('gunzip', '-k', file)}` unpacks it"
            ) from error
        place = position.after(data[: error.start])
        raise DatasetError(
            f"{file}:{place.line}: not UTF-8 text (byte {place.offset} is 0x{data[error.start]:02x})",
            hint=f"convert it first, for example: iconv -f LATIN1 -t UTF-8 {file.name}",
        ) from error
    if (zero := data.find(b"\0")) >= 0:
        raise DatasetError(
            f"{file}:{position.after(data[:zero]).line}: holds a zero byte: it is binary, or UTF-16 without a mark",
            hint=f"convert it first, for example: iconv -f UTF-16LE -t UTF-8 {file.name}",
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
            name = field or find_field(table.schema_arrow.names, str(file))
            if name not in table.schema_arrow.names:
                raise DatasetError(f"{file}: has no column {name!r}: it has {', '.join(table.schema_arrow.names)}")
            number = 0
            for batch in table.iter_batches(_PARQUET_ROWS, columns=[name]):
                for text in batch.column(0).to_pylist():
                    number += 1
                    if not isinstance(text, str):
                        raise DatasetError(f"{file}, row {number}: the column {name!r} holds no text")
                    yield TextDocument(f"{file}, row {number}", text)
    except (OSError, pyarrow.ArrowException) as error:
        raise DatasetError(f"{file}: damaged parquet: {str(error).splitlines()[0]}") from error


def find_field(names: Sequence[str], where: str) -> str:
    """Return which of a record's fields holds the text. Raises DatasetError."""
    for name in TEXT_FIELDS:
        if name in names:
            return name
    raise DatasetError(
        f"{where}: none of the fields {', '.join(names) or '(none)'} is known to hold the text",
        hint="name it: --text-field NAME",
    )
