"""Complete the words of a command line in bash, zsh and fish: models, keys with their values, runs, architectures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path


def models(incomplete: str) -> list[str]:
    """The models whose name begins so, and YAML files here."""
    from trm_cli.config import registry

    return _begins(incomplete, [*registry.names("models"), *_yaml_files(incomplete)])


def architectures(incomplete: str) -> list[str]:
    """The architectures whose name begins so."""
    from trm_cli.config import registry

    return _begins(incomplete, registry.names("arch"))


def schema_kinds(incomplete: str) -> list[str]:
    """The kinds of files that have a schema."""
    from trm_cli.config.json_schema import SCHEMAS

    return _begins(incomplete, list(SCHEMAS))


def runs(incomplete: str) -> list[str]:
    """The runs in checkpoints/, by their paths."""
    from trm_cli.training.run.find_run import known_runs

    return _begins(incomplete, map(str, known_runs()))


def model_words(incomplete: str) -> list[str]:
    """A model, or settings."""
    return settings(incomplete) if _torn_key() else [*models(incomplete), *settings(incomplete)]


def run_words(incomplete: str) -> list[str]:
    """A run, or settings."""
    return settings(incomplete) if _torn_key() else [*runs(incomplete), *settings(incomplete)]


def planned_words(incomplete: str) -> list[str]:
    """A model, a run, or settings."""
    return [*([] if _torn_key() else runs(incomplete)), *model_words(incomplete)]


def settings(incomplete: str) -> list[str]:
    """`key=` for the keys that begin so; after the sign, the values of a key."""
    if torn := _torn_key():
        return _begins(incomplete, values(torn))
    key, equals, typed = incomplete.partition("=")
    if equals:
        return [f"{key}={value}" for value in _begins(typed, values(key))]
    from trm_cli.config.reference import every_key

    return [f"{name}=" for name in _begins(incomplete, dict.fromkeys(["arch", *(one.key for one in every_key())]))]


def devices(incomplete: str) -> list[str]:
    """The devices whose name begins so."""
    return _begins(incomplete, values("device"))


def _torn_key() -> str:
    """The key whose value is typed in bash, to which the sign is a word of its own; "" in other shells and places."""
    words, number = os.environ.get("COMP_WORDS", "").split(), os.environ.get("COMP_CWORD", "")
    before = words[: int(number)] if number.isdecimal() else []
    if words[len(before) :] == ["="]:
        return before[-1]
    return before[-2] if len(before) > 1 and before[-1] == "=" else ""


def values(key: str) -> list[str]:
    """What a key can be set to, where that can be listed."""
    from trm_cli.config.schema import RunConfig
    from trm_cli.keys import choices
    from trm_cli.models.families import FAMILIES

    if key == "arch":
        return architectures("")
    group, _, name = key.rpartition(".")
    sections = list(FAMILIES.values()) if group == "arch" else [RunConfig]
    found = [field for section in sections if (field := section.model_fields.get(name)) is not None]
    words = [word for field in found for word in choices(field)]
    words += ["true", "false"] * any(isinstance(field.default, bool) for field in found)
    return list(dict.fromkeys(words))


def _begins(incomplete: str, words: Iterator[str] | Sequence[str] | dict[str, None] | map[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _yaml_files(incomplete: str) -> list[str]:
    folder = Path(incomplete).parent if "/" in incomplete else Path()
    return [str(path) for path in sorted(folder.glob("*.y*ml"))]


def mend_scripts() -> None:
    """Let zsh complete at the first Tab already, and zsh and bash put no space behind `key=`.

    Of typer's scripts that of zsh registers itself at the first Tab and completes nothing. What it gets from typer is a
    command that always puts a space.
    """
    from typer import _completion_shared

    scripts = getattr(_completion_shared, "_completion_scripts", {})
    for shell, (theirs, ours) in _MENDED.items():
        if shell in scripts and theirs in scripts[shell]:
            scripts[shell] = scripts[shell].replace(theirs, ours)
    if _EVALUATED.match(scripts.get("zsh", "")):
        scripts["zsh"] = _EVALUATED.sub(_WITHOUT_SPACE, scripts["zsh"])


_MENDED = {
    "bash": ("return 0", "[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n    return 0"),
    "zsh": (
        "compdef %(complete_func)s %(prog_name)s",
        'compdef %(complete_func)s %(prog_name)s\n(( ${+compstate} )) && %(complete_func)s "$@"',
    ),
}
#: The line of zsh's script that asks the program, and what takes its place.
_EVALUATED = re.compile(r"(?s)(.*)  eval (\$\(env [^\n]*\))\n(.*)")
_WITHOUT_SPACE = r"""\1  local said=\2
  local -a found=("${(@f)said}")
  found=("${(@)${(@)found#*\"}%%%%\"*}")
  if [[ $said == *'="'* ]]; then
    compadd -S '' -- "${(@M)found:#*=}"
    compadd -- "${(@)found:#*=}"
  else
    eval $said
  fi
\3"""
