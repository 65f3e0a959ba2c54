"""Convert text to the printable ASCII that a canvas can show, and count the characters without such a form.

Standard library only.
"""

from __future__ import annotations

import unicodedata

_REPLACED = {
    "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'", "\u00b4": "'", "\u201c": '"',
    "\u201d": '"', "\u201e": '"', "\u201f": '"', "\u00ab": '"', "\u00bb": '"', "\u2033": '"', "\u2010": "-",
    "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2015": "-", "\u2212": "-", "\u2026": "...",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u3000": " ", "\u00d7": "x", "\u00df": "ss", "\u00e6": "ae",
    "\u00c6": "AE", "\u00f8": "o", "\u00d8": "O", "\u0153": "oe", "\u0152": "OE", "\u0142": "l", "\u0141": "L",
    "\t": "    ", "\r\n": "\n", "\r": "\n", "\ufeff": "",
}  # fmt: skip
_TABLE = str.maketrans({key: value for key, value in _REPLACED.items() if len(key) == 1})
_KEPT = frozenset(chr(code) for code in range(32, 127)) | {"\n"}


def to_ascii(text: str) -> tuple[bytes, int]:
    """Return the text as printable ASCII and line feeds, and how many characters had to be dropped.

    Typographic quotes, dashes and spaces become their plain forms and letters lose their accents; neither counts.
    """
    plain = text.replace("\r\n", "\n").translate(_TABLE).strip()
    if plain.isascii() and plain.replace("\n", "").isprintable():
        return plain.encode("ascii"), 0
    kept: list[str] = []
    dropped = 0
    for character in unicodedata.normalize("NFC", plain):
        if character in _KEPT:
            kept.append(character)
            continue
        base = [part for part in unicodedata.normalize("NFKD", character) if part in _KEPT]
        kept += base
        dropped += not base
    return "".join(kept).strip().encode("ascii"), dropped
