"""Declare configuration keys, and describe their expected values for error messages.

A field carries everything that is known about its key: type, range, default, meaning, unit, and what a change of it
means for a run that is resumed. Error messages, `trm configs show` and the documentation read it from here.
"""

from __future__ import annotations

import os
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.fields import FieldInfo

# Before it builds the first schema, pydantic reads the metadata of every installed package in search of plugins. That
# takes longer than all else here, and a plugin has nothing to do with this configuration.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

Resume = Literal["free", "replan", "fatal"]

MAX_COUNT = 10**12  # far above any run, far below where integers stop being exact in a float


def _whole(value: Any) -> Any:
    """1e5 is a float in YAML and a whole number to the person who wrote it."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_COUNT:
        return int(value)
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
Word = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f\x7f]*$")]
Words = Annotated[tuple[Word, ...], Field(strict=False)]


class Section(BaseModel):
    """A group of keys: nothing is converted silently, and a key that is not declared is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)

    def conflicts(self) -> list[tuple[str, str]]:
        """What is wrong although every value is fine by itself: (key, sentence) pairs."""
        return []


def key(
    default: Any,
    description: str,
    *,
    resume: Resume,
    unit: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """Declare a key. `resume`: free to change, replan (needs --replan), or fatal (another run)."""
    bounds: dict[str, Any] = {
        name: bound for name, bound in (("ge", ge), ("gt", gt), ("le", le), ("lt", lt)) if bound is not None
    }
    return Field(default, description=description, json_schema_extra={"unit": unit, "resume": resume}, **bounds)


def count(default: Any, description: str, *, resume: Resume, unit: str = "", least: int = 1) -> Any:
    """Declare a whole number of things."""
    return key(default, description, resume=resume, unit=unit, ge=least, le=MAX_COUNT)


def ratio(default: Any, description: str, *, resume: Resume = "replan", unit: str = "of the run") -> Any:
    """Declare a share between 0 and 1."""
    return key(default, description, resume=resume, unit=unit, ge=0, le=1)


def resume_class(field: FieldInfo) -> Resume:
    """What changing this key means for a run that is resumed."""
    extra = field.json_schema_extra
    if not isinstance(extra, dict):
        raise TypeError("every configuration key is declared with keys.key()")
    return cast(Resume, extra["resume"])


def unit(field: FieldInfo) -> str:
    """The unit of a key, or an empty string."""
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def expectation(field: FieldInfo) -> str:
    """What a key expects, in words: "a whole number from 1 to 4,096, or auto"."""
    groups = [_words(option) for option in _options(field.annotation)]
    words = [word for group in groups for word in group]
    if len(groups) == 1 and len(words) > 2:
        return f"one of {', '.join(words)}"
    text = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    return _with_bounds(text, field.metadata)


def choices(field: FieldInfo) -> list[str]:
    """The words that a key accepts, for the nearest one to be proposed."""
    options = [option for option in _options(field.annotation) if _is_choice(option)]
    return [str(word) for option in options for word in get_args(option)]


def _is_choice(option: Any) -> bool:
    """Whether it is one of a few words."""
    return get_origin(option) is Literal


def _options(annotation: Any) -> list[Any]:
    """The alternatives of a union; numbers first, words next, null last."""
    if get_origin(annotation) in (Union, types.UnionType):
        options = [option for part in get_args(annotation) for option in _options(part)]
        return sorted(options, key=lambda option: (option is type(None), _is_choice(option)))
    return [annotation]


def _words(option: Any) -> list[str]:
    origin = get_origin(option)
    if origin is Annotated:
        base, *metadata = get_args(option)
        return [_with_bounds(word, metadata) for word in _words(base)]
    if origin is Literal:
        return [str(value) for value in get_args(option)]
    if option is bool:
        return ["true", "false"]
    if origin is tuple:
        return ["a list of strings"]
    kinds: dict[Any, str] = {int: "a whole number", float: "a number", str: "a string", type(None): "null"}
    return [kinds.get(option, "a mapping")]


def _with_bounds(words: str, metadata: Sequence[Any]) -> str:
    """The range belongs to the number, which `_options` puts first."""
    bounds = _bounds(metadata)
    return words.replace("number", f"number {bounds}", 1) if bounds else words


def _bounds(metadata: Sequence[Any]) -> str:
    limits: dict[str, Any] = {}
    flat = [inner for item in metadata for inner in (item.metadata if isinstance(item, FieldInfo) else [item])]
    for item in flat:
        for name in ("ge", "gt", "le", "lt"):
            bound = getattr(item, name, None)
            if bound is not None:
                limits[name] = bound
    low = f"at least {_number(limits['ge'])}" if "ge" in limits else ""
    low = f"above {_number(limits['gt'])}" if "gt" in limits else low
    high = f"at most {_number(limits['le'])}" if limits.get("le", MAX_COUNT) != MAX_COUNT else ""
    high = f"below {_number(limits['lt'])}" if "lt" in limits else high
    if "ge" in limits and "at most" in high:
        return f"from {_number(limits['ge'])} to {_number(limits['le'])}"
    return " and ".join(part for part in (low, high) if part)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
