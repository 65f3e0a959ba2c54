"""Read documents from files and folders: text, code, JSON lines, parquet. Every error names its file and record.

Standard library only, except that a parquet file needs pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from trm_cli.data.files.json_file import parse_json
from trm_cli.errors import DatasetError
from trm_cli.paths import is_dir, is_file

TEXT_SUFFIXES = (
    ".txt", ".text", ".md", ".rst", ".tex", ".html", ".xml", ".csv", ".json", ".yaml", ".yml", ".toml", ".py", ".pyi",
    ".c", ".h", ".cc", ".cpp", ".hpp", ".rs", ".go", ".java", ".kt", ".js", ".jsx", ".ts", ".tsx", ".rb", ".php",
    ".sh", ".sql", ".lua", ".swift", ".scala", ".hs", ".ml", ".jl", ".r", ".pl",
)  # fmt: skip
RECORD_SUFFIXES = (".jsonl", ".ndjson", ".parquet")
# Where one text file holds many documents, this stands between them (the form in which TinyStories is published).
SEPARATOR = "<|endoftext|>"
TEXT_FIELDS = ("text", "story", "content", "code", "body")


class TextDocument(NamedTuple):
    """One text and where it was found, for messages."""

    where: str
    text: str


def list_files(path: Path) -> list[Path]:
    """Return the files of a folder that can be read as documents, in order of their names; a file is itself.

    Raises DatasetError for a path that does not exist and a folder without such files.
    """
    if is_file(path):
        return [path]
    if not is_dir(path):
        raise DatasetError(f"{path}: no such file or folder")
    known = TEXT_SUFFIXES + RECORD_SUFFIXES
    found = [
        file
        for file in path.rglob("*")
        if is_file(file)
        and file.suffix.lower() in known
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not found:
        raise DatasetError(
            f"{path}: the folder holds no text, code, JSONL or parquet file",
            hint=f"files are known by their endings: {' '.join(known[:8])} ...",
        )
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def read_documents(files: Sequence[Path], field: str | None = None) -> Iterator[TextDocument]:
    """Yield the documents of files in order. `field` names the text in JSON lines and parquet. Raises DatasetError."""
    for file in files:
        suffix = file.suffix.lower()
        if suffix == ".parquet":
            yield from _parquet(file, field)
        elif suffix in RECORD_SUFFIXES:
            yield from _json_lines(file, field)
        else:
            yield from _text(file)


def _read_text(file: Path) -> str:
    try:
        data = file.read_bytes()
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{file}:{line}: not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x})",
            hint=f"convert it first, for example: iconv -f LATIN1 -t UTF-8 {file.name}",
        ) from error
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror}") from error


def _text(file: Path) -> Iterator[TextDocument]:
    parts = _read_text(file).split(SEPARATOR)
    for number, part in enumerate(parts, start=1):
        if part.strip():
            yield TextDocument(str(file) if len(parts) == 1 else f"{file}, document {number}", part)


def _json_lines(file: Path, field: str | None) -> Iterator[TextDocument]:
    # split("\n"), not splitlines(): JSON strings may hold U+2028, which splitlines takes for the end of a line.
    for number, line in enumerate(_read_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        record = parse_json(line, str(file), line=number)
        where = f"{file}:{number}"
        if isinstance(record, str):
            yield TextDocument(where, record)
            continue
        if not isinstance(record, dict):
            raise DatasetError(f"{where}: expected an object or a string, found {type(record).__name__}")
        name = field or find_field(list(record), where)
        text = record.get(name)
        if not isinstance(text, str):
            raise DatasetError(f"{where}: the field {name!r} holds no text", hint="name the field: --text-field NAME")
        yield TextDocument(where, text)


def _parquet(file: Path, field: str | None) -> Iterator[TextDocument]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DatasetError(f"{file}: parquet needs the pyarrow package", hint="pip install pyarrow") from error
    try:
        table = parquet.ParquetFile(file)
        name = field or find_field(table.schema_arrow.names, str(file))
        if name not in table.schema_arrow.names:
            raise DatasetError(f"{file}: has no column {name!r}: it has {', '.join(table.schema_arrow.names)}")
        number = 0
        for batch in table.iter_batches(columns=[name]):
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
