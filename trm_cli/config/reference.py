"""List every configuration key: default, expected values, meaning, and what a change means on resume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trm_cli.config.schema import RunConfig
from trm_cli.keys import Section, expectation, resume_class, unit
from trm_cli.models.families import FAMILIES


@dataclass(frozen=True)
class KeyFacts:
    """One configuration key. families: those whose networks have it in this form; empty for a key of the run."""

    key: str
    default: Any
    expects: str
    unit: str
    resume: str
    meaning: str
    families: tuple[str, ...] = ()


def every_key() -> list[KeyFacts]:
    """List the keys of a run, then those below `arch.`, once for each form in which families declare them."""
    return [*_declared("", {"": RunConfig}), *_declared("arch.", FAMILIES)]


def _declared(prefix: str, sections: Mapping[str, type[Section]]) -> Iterator[KeyFacts]:
    """Yield keys in the order of their first declaration; equal declarations of several families are one."""
    forms: dict[KeyFacts, tuple[str, ...]] = {}
    for family, section in sections.items():
        for name, field in section.model_fields.items():
            if field.is_required():  # the architecture of a run has keys of its own
                continue
            form = KeyFacts(
                key=prefix + name,
                default=field.default,
                expects=expectation(field),
                unit=unit(field),
                resume=resume_class(field),
                meaning=field.description or "",
            )
            forms[form] = (*forms.get(form, ()), family) if family else ()
    names = list(dict.fromkeys(form.key for form in forms))
    for form in sorted(forms, key=lambda form: names.index(form.key)):
        yield replace(form, families=forms[form])
