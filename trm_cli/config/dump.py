"""Write a resolved configuration as the `config.yaml` of a run, and as the command line that repeats it."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from trm_cli.config.compose import Resolved
from trm_cli.config.schema import RunConfig
from trm_cli.config.sources.scalars import plain_scalar

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


def describe_command(resolved: Resolved) -> str:
    """Format `Command: trm train MODEL arch=... data_paths=[...] checkpoint_path=...` for a shell."""
    config = resolved.config
    words = [
        f"arch={config.arch.name}",
        f"data_paths=[{','.join(config.data_paths)}]",
        f"checkpoint_path={config.checkpoint_path}",
    ]
    stated = ("arch", "data_paths", "checkpoint_path", "model")
    words += [word for word in resolved.overrides if word.partition("=")[0].lstrip("+") not in stated]
    return " ".join(["Command: trm train", shlex.quote(config.model), *map(_quote, words)])


def _quote(word: str) -> str:
    """Quote like shlex.quote, but leave plain lists: without a matching file the shell leaves `[...]` alone."""
    return word if re.fullmatch(r"[A-Za-z0-9_./=,:@%+\[\]-]+", word) else shlex.quote(word)
