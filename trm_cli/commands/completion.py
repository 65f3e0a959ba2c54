"""Complete the words of a command line in bash, zsh and fish: models, keys with their values, runs, architectures."""

from __future__ import annotations

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


def model_words(args: list[str], incomplete: str) -> list[str]:
    """A model, or settings."""
    return [*models(incomplete), *settings(args, incomplete)]


def run_words(args: list[str], incomplete: str) -> list[str]:
    """A run, or settings."""
    return [*runs(incomplete), *settings(args, incomplete)]


def settings(args: Sequence[str], incomplete: str) -> list[str]:
    """`key=` for the keys that begin so; after the sign, the values of a key.

    To bash the sign is a word of its own, so that only the value is completed there.
    """
    before = args[-1] if args else ""
    if incomplete == "=" or before == "=":
        key, typed = (before, "") if incomplete == "=" else (args[-2] if len(args) > 1 else "", incomplete)
        sign = "=" if incomplete == "=" else ""
        return [sign + value for value in _begins(typed, values(key))]
    key, equals, typed = incomplete.partition("=")
    if equals:
        return [f"{key}={value}" for value in _begins(typed, values(key))]
    from trm_cli.config.reference import every_key

    return [f"{name}=" for name in _begins(incomplete, dict.fromkeys(["arch", *(one.key for one in every_key())]))]


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
