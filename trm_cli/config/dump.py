"""Write a resolved configuration as the `config.yaml` of a run, and as the command line that repeats it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from trm_cli.config.compose import Resolved
from trm_cli.config.schema import RunConfig
from trm_cli.config.sources.scalars import plain_scalar
from trm_cli.config.sources.yaml_loader import parse_scalar
from trm_cli.shell import command_line

_YAML_1_1_WORDS = ("on", "off", "yes", "no", "y", "n")  # booleans to most other readers
_PLAIN_TEXT = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")


def flat_values(config: RunConfig) -> dict[str, Any]:
    """Flatten a configuration to dotted keys, in the order of the schema."""
    flat: dict[str, Any] = {}
    for name, value in config.model_dump().items():
        if isinstance(value, dict):
            flat.update({f"{name}.{inner}": item for inner, item in value.items()})
        else:
            flat[name] = value
    return flat


def dump_config(resolved: Resolved) -> str:
    """Write YAML that `load_run_config` reads back as the identical configuration, to the last bit of every float."""
    lines = ["# The resolved configuration of a run, as `trm resume` reads it."]
    for name, value in resolved.config.model_dump().items():
        if isinstance(value, dict):
            lines.append(f"{name}:")
            lines += [f"  {inner}: {scalar(item)}" for inner, item in value.items()]
        else:
            lines.append(f"{name}: {scalar(value)}")
    return "\n".join(lines) + "\n"


def scalar(value: Any) -> str:
    """A value as a configuration file and an override have it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(scalar(item) for item in value)}]"
    if isinstance(value, str):
        return value if _is_plain(value) else json.dumps(value)
    if isinstance(value, float):
        text = repr(value)
        # `1e-05` is a float to YAML 1.2 and a string to YAML 1.1; with a point it is a float to both.
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    return json.dumps(value)


def _is_plain(text: str) -> bool:
    if text.lower() in _YAML_1_1_WORDS:
        return False
    return _PLAIN_TEXT.fullmatch(text) is not None and isinstance(plain_scalar(text), str)


def override(key: str, value: Any) -> str:
    """Format `key=value` so that an override reads the value back; not quoted for a shell."""
    if isinstance(value, list | tuple):
        return f"{key}=[{','.join(map(scalar, value))}]"
    try:
        plain = isinstance(value, str) and parse_scalar(value) == value
    except ValueError:
        plain = False
    return f"{key}={value if plain else scalar(value)}"


def describe_command(resolved: Resolved, *, run: str | None = None, options: Sequence[str] = ()) -> str:
    """Format the command that repeats a run, to be pasted: `Command: trm train MODEL arch=... 'data_paths=[...]' ...`.

    run: a run that is resumed instead. options: those that were typed.
    """
    if run is not None:
        changed = [
            word for word in resolved.overrides if override_key(word) != "checkpoint_path"
        ]  # it is where it was found
        return f"Command: {command_line('trm', 'resume', run, *changed, *options)}"
    config, typed = resolved.config, resolved.overrides
    model = config.model if resolved.registry is None else resolved.registry.word
    arch = next((word for word in reversed(typed) if override_key(word) == "arch" and "={" not in word), None)
    words = [
        arch or f"arch={config.arch.name}",
        override("data_paths", config.data_paths),
        override("checkpoint_path", config.checkpoint_path),
    ]
    words += [
        word for word in typed if override_key(word) not in ("data_paths", "checkpoint_path", "model") and word != arch
    ]
    return f"Command: {command_line('trm', 'train', model, *words, *options)}"


def override_key(word: str) -> str:
    """The key of an override as it was typed."""
    return word.partition("=")[0].lstrip("+")
