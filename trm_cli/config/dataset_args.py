"""Convert `dataset_args` of a model file to the command-line flags of its dataset builder.

`a_b` -> `--a-b`; true -> the bare flag; false and null -> nothing; a list -> the flag followed by each item; anything
else -> the flag and str(value). The older list form (`["--output-dir", "x", "--augment"]`, or `output_dir=x` items) is
turned into the mapping first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trm_cli.config.sources.overrides import Override
from trm_cli.config.sources.scalars import describe
from trm_cli.config.sources.yaml_loader import Document, Key, Location, dotted, parse_scalar
from trm_cli.errors import Problem

DatasetArgs = dict[str, Any]

_KEY = "dataset_args"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_FLAG = re.compile(r"--([A-Za-z][A-Za-z0-9_-]*)(?:=(.*))?", re.DOTALL)
_ASSIGNMENT = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_BY_WORD = {"true": True, "false": False, "null": None}


def builder_flags(dataset_args: Mapping[str, Any]) -> list[str]:
    """Return the command-line flags of the builder, in the order of the mapping."""
    flags: list[str] = []
    for name, value in dataset_args.items():
        if value is None or value is False:
            continue
        flags.append("--" + name.replace("_", "-"))
        if isinstance(value, list | tuple):
            flags.extend(str(item) for item in value)
        elif value is not True:
            flags.append(str(value))
    return flags


def read_dataset_args(document: Document, problems: list[Problem]) -> DatasetArgs:
    """Read `dataset_args` of a model file, in either form, as the mapping; what is wrong is added to `problems`."""
    raw = document.data[_KEY]
    reader = _Reader(document, problems)
    before = len(problems)
    if isinstance(raw, dict):
        args = reader.mapping(raw)
    elif isinstance(raw, list):
        args = reader.words(raw)
    else:
        reader.problem((), f"`dataset_args` must be a mapping (or the older list of flags), found {describe(raw)}")
        return {}
    if "output_dir" not in args and ((_KEY, "output_dir") in document.locations or len(problems) > before):
        return args  # it is, or may be, what could not be read
    output_dir = args.get("output_dir")
    if "output_dir" not in args:
        hint = "add for example `output_dir: datasets/my_data`"
        reader.problem((), "`dataset_args` has no `output_dir`: where should the dataset be written?", hint=hint)
    elif not isinstance(output_dir, str) or not output_dir:
        reader.problem(("output_dir",), f"`output_dir` must be the path of a directory, found {describe(output_dir)}")
    return args


def override_dataset_args(args: DatasetArgs, overrides: Sequence[Override], problems: list[Problem]) -> DatasetArgs:
    """Return the arguments changed by `dataset_args.KEY=VALUE` words; what is wrong is added to `problems`."""
    changed = dict(args)
    for override in overrides:
        key = dotted(override.key)
        if len(override.key) != 2:
            hint = f"write {_KEY}.KEY=VALUE, for example {_KEY}.limit=100"
            problems.append(Problem(override.where, f"`{key}` names no argument of the builder", key=key, hint=hint))
            continue
        document = Document(override.where, locations={override.key: Location(override.where, 1, 1)})
        found: list[Problem] = []
        read = _Reader(document, found).mapping({override.key[1]: override.value})
        problems += [replace(problem, where=override.where) for problem in found]
        changed.update(read)
    return changed


class _Reader:
    """Reads `dataset_args` once, with the place of each problem in the file."""

    def __init__(self, document: Document, problems: list[Problem]) -> None:
        self.document = document
        self.problems = problems

    def problem(self, path: Key, message: str, hint: str = "") -> None:
        """Add a problem at a place below `dataset_args`."""
        key = (_KEY, *path)
        self.problems.append(Problem(self.document.where(key), message, key=dotted(key), hint=hint))

    def mapping(self, raw: dict[str, Any]) -> DatasetArgs:
        """Check names and values; nothing is converted."""
        args: DatasetArgs = {}
        for name, value in raw.items():
            if not _NAME.fullmatch(name):
                plain = name.strip("-").replace("-", "_")
                hint = f"write `{plain}`" if _NAME.fullmatch(plain) else ""
                self.problem((name,), f"`{name}` is not a name: letters, digits and underscores", hint)
            elif isinstance(value, dict):
                self.problem((name,), f"`{name}` is a mapping; a flag takes a value or a list of values")
            elif isinstance(value, list) and not self._is_flat(name, value):
                continue
            else:
                args[name] = value
        return args

    def _is_flat(self, name: str, items: list[Any]) -> bool:
        flat = True
        for index, item in enumerate(items):
            if item is None or isinstance(item, bool | dict | list):
                self.problem((name, index), f"an item of `{name}` must be a string or a number, found {describe(item)}")
                flat = False
        return flat

    def words(self, raw: list[Any]) -> DatasetArgs:
        """Read the older list form: flags followed by their values; a repeated flag keeps all of its values."""
        gathered: dict[str, list[Any]] = {}
        fixed: DatasetArgs = {}  # `name=true` and the like, which are not words but meanings
        current: str | None = None
        for index, item in enumerate(raw):
            if item is None or isinstance(item, bool | dict | list):
                self.problem(
                    (index,), f"an item of `dataset_args` must be a string or a number, found {describe(item)}"
                )
                continue
            flag = _FLAG.fullmatch(item) if isinstance(item, str) else None
            assignment = _ASSIGNMENT.fullmatch(item) if isinstance(item, str) and not flag else None
            if flag:
                current = flag[1].replace("-", "_")
                gathered.setdefault(current, [])
                if flag[2] is not None:
                    gathered[current].append(flag[2])
                    current = None
            elif assignment:
                current = None
                self._assign(index, assignment[1], assignment[2], gathered, fixed)
            elif current is None:
                hint = "write `--name value` or `name=value`"
                self.problem((index,), f"{describe(item)} does not belong to any flag", hint)
            else:
                gathered[current].append(item)
        args = {name: _unwrap(values) for name, values in gathered.items()}
        return {**args, **{name: value for name, value in fixed.items() if not gathered.get(name)}}

    def _assign(self, index: int, name: str, text: str, gathered: dict[str, list[Any]], fixed: DatasetArgs) -> None:
        if text in _BY_WORD:
            fixed[name] = _BY_WORD[text]
        elif text.startswith("["):
            try:
                items = parse_scalar(text)
            except ValueError as error:
                self.problem((index,), f"`{name}`: {error}")
                return
            if self._is_flat(name, items):
                gathered.setdefault(name, []).extend(items)
        else:
            # Kept as it was written: a builder reads its own numbers.
            gathered.setdefault(name, []).append(text)


def _unwrap(values: list[Any]) -> Any:
    """Convert the values of a flag: none to true, one to itself, several to a list."""
    if not values:
        return True
    return values[0] if len(values) == 1 else values
