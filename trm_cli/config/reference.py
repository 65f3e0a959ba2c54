"""Every key that there is: what it expects, its default, its meaning, and what a change of it means for a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trm_cli.config.schema import RunConfig
from trm_cli.keys import Section, expectation, resume_class, unit
from trm_cli.models.families import FAMILIES


@dataclass(frozen=True)
class KeyFacts:
    """What is known of a key. families: of networks that have it in this form; none for a key of the run."""

    key: str
    default: Any
    expects: str
    unit: str
    resume: str
    meaning: str
    families: tuple[str, ...] = ()


def every_key() -> list[KeyFacts]:
    """The keys of a run, then those below `arch.`, once for each form in which families declare them."""
    return [*_declared("", {"": RunConfig}), *_declared("arch.", FAMILIES)]


def _declared(prefix: str, sections: Mapping[str, type[Section]]) -> Iterator[KeyFacts]:
    """Keys in the order in which they are first declared; equal declarations of several families are one."""
    forms: dict[str, list[KeyFacts]] = {}
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
            known = forms.setdefault(name, [])
            same = [place for place, other in enumerate(known) if replace(other, families=()) == form]
            families = known[same[0]].families if same else ()
            joined = replace(form, families=(*families, family) if family else ())
            if same:
                known[same[0]] = joined
            else:
                known.append(joined)
    return (form for known in forms.values() for form in known)
