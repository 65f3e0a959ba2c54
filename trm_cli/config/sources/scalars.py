"""Read plain scalars by the YAML 1.2 core schema, and describe values in error messages.

PyYAML follows YAML 1.1, where `1e-4` is a string, `on` is true, `12:30` is 750 and `010` is 8. Here `1e-4` is a float,
`on`, `yes` and `12:30` are strings, `0o17` and `0x1f` are integers, and `010`, on which readers disagree, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MAX_DIGITS = 19  # 2**63 - 1 has 19

_INTEGER = re.compile(r"[-+]?[0-9]+")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def plain_scalar(text: str) -> Any:
    """Convert an unquoted YAML 1.2 core scalar to null, bool, int, float or text.

    Raises ValueError for a number that readers of YAML do not agree about, or that is longer than 64 bits.
    """
    if text in CONSTANTS:
        return CONSTANTS[text]
    if _LEADING_ZERO.fullmatch(text):
        plain = text.lstrip("+-").lstrip("0") or "0"
        raise ValueError(f'{text} has a leading zero: write {plain} for the number, "{text}" for the text')
    is_integer, is_prefixed = _INTEGER.fullmatch(text), _PREFIXED.fullmatch(text)
    if (is_integer or is_prefixed) and len(text.lstrip("+-")) > MAX_DIGITS:
        raise ValueError(f"{text[:12]}... has more than {MAX_DIGITS} digits")
    if is_integer:
        return int(text)
    if is_prefixed:
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def as_yaml(value: Any) -> str:
    """Format a value as YAML has it, for people: strings without quotes."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_yaml(item) for item in value)}]"
    return str(value)


def _escaped(character: re.Match[str]) -> str:
    """Return a control character as Python writes it."""
    return repr(character[0])[1:-1]


def describe(value: Any) -> str:
    """Describe a value for an error message."""
    if isinstance(value, str):
        shown = value if len(value) <= 60 else f"{value[:57]}..."
        return f'the string "{_CONTROL.sub(_escaped, shown)}"'
    if isinstance(value, dict):
        return "a mapping"
    return as_yaml(value) if value is None or isinstance(value, int | float) else "a list"
