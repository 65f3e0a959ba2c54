"""Recognise files that hold no text, by their first bytes, and say how to get at the text in them."""

from __future__ import annotations

from pathlib import Path

from trm_cli.errors import DatasetError, TrmError
from trm_cli.shell import command_line, quote

#: How many bytes of a file are enough to recognise it.
SIGNATURE_BYTES = 8
_OFFICE = {
    ".xlsx": ("an Excel workbook", "save it as CSV (UTF-8)"),
    ".ods": ("a spreadsheet", "save it as CSV (UTF-8)"),
    ".docx": ("a Word document", "save it as plain text (UTF-8)"),
    ".odt": ("a text document", "save it as plain text (UTF-8)"),
    ".epub": ("an EPUB book", "convert it to plain text, for example with pandoc"),
}
# Signature -> (what it is, the words of the command that unpacks it, or an advice).
_FORMATS: tuple[tuple[bytes, str, tuple[str, ...] | str], ...] = (
    (b"\x1f\x8b", "compressed", ("gunzip", "-k")),
    (b"PK\x03\x04", "a zip archive", ("unzip",)),
    (b"BZh", "compressed", ("bunzip2", "-k")),
    (b"\xfd7zXZ", "compressed", ("unxz", "-k")),
    (b"\x28\xb5\x2f\xfd", "compressed", ("unzstd",)),
    (b"7z\xbc\xaf", "a 7z archive", ("7z", "x")),
    (b"PAR1", "a parquet file", "write it as CSV: pandas.read_parquet(FILE).to_csv('file.csv', index=False)"),
    (b"ARROW1", "an Arrow file", "write it as JSON lines: datasets.Dataset.from_file(FILE).to_json('file.jsonl')"),
    (b"%PDF", "a PDF", "extract its text, for example with pdftotext"),
    (b"\xd0\xcf\x11\xe0", "a document of an old Office", "save it as CSV or plain text (UTF-8)"),
    (b"\x93NUMPY", "a NumPy array", "write it as text"),
    (b"SQLite", "an SQLite database", "write the table as CSV"),
)


def expect_text(path: Path, start: bytes) -> None:
    """Raise DatasetError where a file that begins with these bytes is an archive or a document of another program."""
    for signature, what, advice in _FORMATS:
        if start.startswith(signature):
            if signature.startswith(b"PK") and path.suffix.lower() in _OFFICE:
                what, advice = _OFFICE[path.suffix.lower()]
            hint = advice if isinstance(advice, str) else f"`{command_line(*advice, path)}` unpacks it"
            raise DatasetError(f"{path} is {what}", hint=hint)


def expect_no_nul(name: str | Path, data: bytes, *, error: type[TrmError] = DatasetError) -> None:
    """Raise `error` where the bytes of a text without a byte order mark hold NUL bytes: no text in UTF-8 does."""
    if b"\0" not in data:
        return
    start = data[:SIGNATURE_BYTES]
    halves = start[::2], start[1::2]
    # In UTF-16 every second byte of ASCII characters is NUL, and no other.
    if any(one and b"\0" not in one and not other.strip(b"\0") for one, other in (halves, halves[::-1])):
        raise error(f"{name} is UTF-16 without a byte order mark", hint="save it as UTF-8")
    raise error(f"{name} holds NUL bytes: it is not a text file")


def to_utf8(path: Path, encoding: str = "WINDOWS-1252") -> str:
    """How to convert a text file of another encoding, as a hint."""
    converted = quote(path.with_name(f"{path.stem}-utf8{path.suffix}"))
    return f"convert it first: `{command_line('iconv', '-f', encoding, '-t', 'UTF-8', path)} > {converted}`"
