"""Validate the merged tree: a RunConfig, or a problem for everything that the schema does not accept."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from trm_cli.config.registry import nearest
from trm_cli.config.schema import RunConfig
from trm_cli.config.sources import other_names
from trm_cli.config.sources.layers import Layer, Tree
from trm_cli.config.sources.published import hint_for
from trm_cli.config.sources.scalars import describe
from trm_cli.config.sources.yaml_loader import Key, dotted
from trm_cli.errors import Problem
from trm_cli.keys import Section, choices, expectation
from trm_cli.models.families import FAMILIES

_HINTED = 50  # so many unknown keys get a hint: nobody reads more, and each costs a search for the nearest name


def validate(tree: Tree, *, quiet_about_missing: bool = False) -> tuple[RunConfig | None, list[Problem]]:
    """Check every layer for keys that do not exist, then the values that stand."""
    family, problems = _family(tree, quiet_about_missing)
    for layer in tree.layers:
        problems += _unknown_keys(layer, family)
    problems += _legacy_steps(tree)
    try:
        config = RunConfig.model_validate(_known_only(tree.values, family))
    except ValidationError as error:
        return None, problems + _explain(error, tree, family or FAMILIES["trm"])
    if family is None:
        return None, problems
    problems += _conflicts(config, tree)
    return (None if problems else config), problems


def fill_defaults(tree: Tree) -> None:
    """Give every key that no file states the default of the schema."""
    groups: list[tuple[tuple[str, ...], type[Section]]] = [((), RunConfig)]
    arch = tree.values.get("arch")
    if isinstance(arch, dict) and isinstance(arch.get("family"), str) and arch["family"] in FAMILIES:
        groups.append((("arch",), FAMILIES[arch["family"]]))
    for prefix, section in groups:
        for name, field in section.model_fields.items():
            if not field.is_required():
                default = list(field.default) if isinstance(field.default, tuple) else field.default
                tree.set_default((*prefix, name), default)


def _family(tree: Tree, quiet: bool) -> tuple[type[Section] | None, list[Problem]]:
    arch = tree.values.get("arch")
    name = arch.get("family") if isinstance(arch, dict) else None
    if isinstance(name, str) and name in FAMILIES:
        return FAMILIES[name], []
    known = ", ".join(FAMILIES)
    if isinstance(arch, dict) and "family" in arch:
        message = f"`arch.family` must be one of {known}, found {describe(name)}"
        near = nearest(str(name), list(FAMILIES))
        hint = f"did you mean `{near}`?" if near else ""
        return None, [Problem(tree.where(("arch", "family")), message, key="arch.family", hint=hint)]
    if isinstance(arch, dict):
        return None, [] if quiet and len(arch) <= 1 else [
            Problem(tree.where(("arch", next(iter(arch)))), f"`family` is missing: one of {known}", key="arch.family")
        ]  # fmt: skip
    if arch is None and quiet:
        return None, []
    message = f"`arch` must be an architecture, found {describe(arch)}"
    return None, [Problem(tree.where(("arch",)), message, key="arch")]


def _unknown_keys(layer: Layer, family: type[Section] | None) -> list[Problem]:
    unknown: list[tuple[Key, list[str]]] = [
        ((name,), list(RunConfig.model_fields)) for name in layer.values if name not in RunConfig.model_fields
    ]
    arch = layer.values.get("arch")
    if isinstance(arch, dict) and family is not None:
        known = list(family.model_fields)
        unknown += [(("arch", name), known) for name in arch if name not in family.model_fields]
    problems = [_unknown(layer, key, known, family) for key, known in unknown[:_HINTED]]
    return problems + [
        Problem(layer.where(key), f"unknown key `{dotted(key)}`", key=dotted(key)) for key, _ in unknown[_HINTED:]
    ]


def _unknown(layer: Layer, key: Key, known: list[str], family: type[Section] | None) -> Problem:
    name = str(key[-1])
    below_arch = len(key) > 1
    families = [family] if family is not None else list(FAMILIES.values())
    arch_keys = list(dict.fromkeys(key for section in families for key in section.model_fields))
    near, near_arch = nearest(name, known), None if below_arch else nearest(name, arch_keys)
    hint = hint_for(dotted(key)) or other_names.hint_for(dotted(key), layer.value(key))
    if hint:
        pass
    elif "." in name:
        group, _, rest = name.partition(".")
        hint = f"in a file it is `{group}:` and below it, indented, `{rest}: ...`"
    elif name == "dataset_args":
        hint = "it belongs to a model: name one before the settings"
    elif below_arch and name in RunConfig.model_fields:
        hint = f"`{name}` is a key of the run, not of the architecture"
    elif below_arch and (others := [label for label, other in FAMILIES.items() if name in other.model_fields]):
        hint = f"only architectures of the family {' or '.join(others)} have it"
    elif near and near_arch != name:
        hint = f"did you mean `{dotted((*key[:-1], near))}`?"
    elif near_arch:
        hint = f"did you mean `arch.{near_arch}`?"
    return Problem(layer.where(key), f"unknown key `{dotted(key)}`", key=dotted(key), hint=hint)


def _known_only(values: dict[str, Any], family: type[Section] | None) -> dict[str, Any]:
    """Select the values that the schema checks: unknown keys and an unknown family have been reported already."""
    known = {name: value for name, value in values.items() if name in RunConfig.model_fields}
    if family is None:
        return {**known, "arch": {"family": "trm", "name": "unknown"}}
    return {**known, "arch": {name: value for name, value in known["arch"].items() if name in family.model_fields}}


def _legacy_steps(tree: Tree) -> list[Problem]:
    """Report a ratio given together with steps; steps alone replace the ratio of the shipped defaults.

    Where steps stand alone the ratio becomes null, so that the plan knows which of the two was written.
    """
    problems = []
    for steps, share in RunConfig.legacy_steps.items():
        steps_layer, share_layer = tree.origin((steps,)), tree.origin((share,))
        if tree.values.get(steps) is None:
            continue
        # None of the run's own sources stated the ratio: it is what the defaults say.
        is_default = share_layer is None or (
            share_layer.kind in ("default", "config") and share_layer is not steps_layer
        )
        if is_default:
            tree.values[share] = None
        elif tree.values.get(share) is not None:
            message = f"`{steps}` and `{share}` (at {tree.where((share,))}) both say where the same change ends"
            hint = f"keep one: set the other to null, for example {steps}=null"
            problems.append(Problem(tree.where((steps,)), message, key=steps, hint=hint))
    return problems


def _explain(error: ValidationError, tree: Tree, family: type[Section]) -> list[Problem]:
    """Convert a validation error to one problem for each key."""
    problems: dict[str, Problem] = {}
    for item in error.errors(include_url=False, include_context=False):
        location = item["loc"]
        if location[0] == "arch":
            # Below the union stands the tag that chose the family: ("arch", "trm", "hidden_size").
            key: Key = ("arch", location[2]) if len(location) > 2 else ("arch",)
            field = family.model_fields.get(str(key[-1]))
        else:
            index = location[1:2] if len(location) > 1 and isinstance(location[1], int) else ()
            key = (location[0], *index)
            field = RunConfig.model_fields.get(str(location[0]))
        name = dotted(key)
        if name in problems:
            continue
        if item["type"] == "missing" or field is None:
            problems[name] = Problem(tree.where(key), f"`{name}` is missing", key=name)
            continue
        expected = "a string" if isinstance(key[-1], int) else expectation(field)
        expected = expected.replace("a string", _STRINGS.get(item["type"], "a string"), 1)
        problems[name] = _wrong_value(tree, key, expected, choices(field), item["input"])
    return list(problems.values())


def _wrong_value(tree: Tree, key: Key, expected: str, words: list[str], found: Any) -> Problem:
    hint = ""
    near = None
    if isinstance(found, str):
        near = next((ours for ours in _MEANT.get(found.lower(), ()) if ours in words), None) or nearest(found, words)
    if near:
        hint = f"did you mean `{near}`?"
    elif isinstance(found, str) and expected.startswith("a list"):
        hint = f"write [{found}]"
    elif isinstance(found, str) and "number" in expected and _DECIMAL_COMMA.fullmatch(found):
        hint = f"write {found.replace(',', '.')}"
    elif isinstance(found, str) and "number" in expected and _GROUPED.fullmatch(found):
        hint = f"write {found.replace('_', '').replace(',', '')}"
    elif isinstance(found, str) and "number" in expected and _PUNCTUATED.fullmatch(found):
        hint = f"write {dotted(key)}={found.strip('=,;:')}"
    elif isinstance(found, str) and "number" in expected and _SEVERAL.fullmatch(found):
        hint = f"several values are a sweep: `trm sweep FILE.yaml` with `search: {{{dotted(key)}: [{found}]}}`"
    elif isinstance(found, str) and expected.startswith("true") and found.lower() in _YES_NO:
        hint = f"write {_YES_NO[found.lower()]}: in YAML 1.2 `{found}` is a string"
    name = dotted(key)
    message = f"`{name}` must be {expected}; found {describe(found)}"
    return Problem(tree.where(key), message, key=name, hint=hint)


_STRINGS = {  # the kind of string that is expected, by pydantic's type of error
    "string_pattern_mismatch": "a string without control characters",
    "string_too_short": "a string that is not empty",
}
_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{3})+|[0-9]+(_[0-9]+)+")  # digits as people group them
_DECIMAL_COMMA = re.compile(r"0,[0-9]+")
_PUNCTUATED = re.compile(r"[=,;:]?[-+.0-9e]+[=,;:]?")
_SEVERAL = re.compile(r"[-+.0-9e]+(, ?[-+.0-9e]+)+")
_MEANT = {
    "gpu": ("cuda",), "nvidia": ("cuda",), "metal": ("mps",), "apple": ("mps",), "processor": ("cpu",),
    "bf16": ("bfloat16",), "fp16": ("float16",), "half": ("float16",), "fp32": ("float32",), "full": ("float32",),
    "adam": ("adamw",), "none": ("disabled",), "off": ("disabled",),
}  # fmt: skip
_YES_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def _conflicts(config: RunConfig, tree: Tree) -> list[Problem]:
    problems = []
    for prefix, section in (((), config), (("arch",), config.arch)):
        for name, sentence in section.conflicts():
            key = (*prefix, name)
            place = _written(
                tree, prefix, [name, *(other for other in type(section).model_fields if other in sentence)]
            )
            problems.append(Problem(place, f"`{dotted(key)}`: {sentence}", key=dotted(key)))
    return problems


def _written(tree: Tree, prefix: Key, names: list[str]) -> str:
    """Return the place of the first of these keys that was written; a default has no place."""
    for name in [*names, *(str(key[-1]) for key in tree.written() if key[:-1] == prefix)]:
        layer = tree.origin((*prefix, name))
        if layer is not None and layer.kind != "default":
            return layer.where((*prefix, name))
    return tree.where((*prefix, names[0]))
