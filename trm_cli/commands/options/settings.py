"""Recognise what other programs type as options: `--epochs 10` instead of `epochs=10`, `--gpus 4`, `--config FILE`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from trm_cli.config.sources import other_names

SETTINGS = "KEY=VALUE"  # in the metavar of the argument that takes them


def hint_for(program: Any, words: Sequence[str]) -> str:
    """Return what to type instead of options and commands that do not exist; "" where nothing is known of them.

    program: the command of the whole program, as typer makes it.
    """
    from trm_cli.commands.options.no_settings import without_settings
    from trm_cli.commands.options.other_commands import command_meant
    from trm_cli.commands.options.program_options import leading, misplaced, options_of
    from trm_cli.shell import command_line

    first, typed = leading(program, words)
    command, called, rest = _command(program, typed)
    if hasattr(command, "commands"):
        meant = command_meant(program, rest, *called) if rest and not rest[0].startswith("-") else ""
        return f"here it is `{meant}`" if meant else ""
    if (quiet := next((word for word in rest if word in ("-q", "--quiet", "--silent")), None)) is not None:
        return f"{quiet}: progress is written to stderr; 2>/dev/null at the end of the line hides it"
    own, rest = misplaced(program, command, rest)
    options = options_of(command)
    takes_settings = any(SETTINGS in (getattr(one, "metavar", None) or "") for one in command.params)
    written, settings = list(rest), False
    if not takes_settings:
        written, hint = without_settings(command, called, rest)
        if hint:
            return hint
    elif (place := next((word for word in rest if _name(word) in _SWEEPS), None)) is not None and called == ["train"]:
        return f"{place}: several values are a sweep: `trm sweep FILE.yaml`"
    elif (other := next((word for word in rest if _name(word) in other_names.OTHERWISE), None)) is not None:
        return f"{other.partition('=')[0]}: {other_names.OTHERWISE[_name(other)]}"
    elif called == ["train"] and (resumed := _continued(rest)):
        return f"`{command_line('trm', 'resume', resumed)}` continues a run"
    else:
        written, settings = _rewritten(rest, options, builds=called[-1:] == ["build-dataset"])
    if [*called, *written] == typed or _has_unknown(written, options):
        return ""
    line = command_line("trm", *first, *own, *called, *written)
    if settings:
        return f"settings are written without dashes: `{line}`"
    if takes_settings and any(word in _CONTINUE for word in rest):
        return f"a run continues by itself where it has a checkpoint: `{line}`"
    if own and written == rest:
        return f"{own[0]} stands before the command: `{line}`"
    return f"here it is `{line}`"


def _command(program: Any, words: Sequence[str]) -> tuple[Any, list[str], list[str]]:
    """The command that words call, the words that name it, and the rest of them, also those before its name."""
    command, called, rest = program, [], list(words)
    if rest and rest[0].startswith("-") and (known := [word for word in rest if word in program.commands]):
        rest.remove(known[0])
        rest.insert(0, known[0])
    while rest and rest[0] in getattr(command, "commands", {}):
        called.append(rest.pop(0))
        command = command.commands[called[-1]]
    return command, called, rest


def _has_unknown(words: Sequence[str], options: Collection[str]) -> bool:
    """Whether there is an option among words that is none of the command's: what has one fails as it is."""
    names = (word.partition("=")[0] for word in words if re.match("--?[A-Za-z]", word))
    return any(name != "--help" and name not in options for name in names)


def _name(word: str) -> str:
    """What an option is called, without dashes and value; "" of what is none."""
    return word.partition("=")[0].lstrip("-").replace("-", "_") if word.startswith("-") else ""


def _continued(words: Sequence[str]) -> str:
    """The run that an option such as `--ckpt_path RUN` names."""
    for place, word in enumerate(words):
        if _name(word) in _CHECKPOINTS:
            value = word.partition("=")[2] or next(iter(words[place + 1 :]), "")
            return "" if value.startswith("-") or "=" in value else value
    return ""


class _Meaning(NamedTuple):
    """What an option of another program stands for here.

    key: a configuration key; ours: an option of this program; flag: a word that replaces it; "" where it is none of
    them. model: it names the model. left_out: it has no counterpart, and is dropped.
    """

    key: str
    ours: str
    flag: str
    model: bool
    left_out: bool


def _meaning(name: str, keys: Collection[str], *, builds: bool) -> _Meaning:
    """What the option `name` stands for. keys: of the configuration, which settings of a builder are none of."""
    called = () if builds else (name, other_names.KEYS.get(name.lower(), ""))
    return _Meaning(
        key=next((one for one in called if one in keys), ""),
        ours=other_names.OPTIONS.get(name, ""),
        flag=other_names.FLAGS.get(name, ""),
        model=name in other_names.MODEL,
        left_out=name in other_names.LEFT_OUT or name in other_names.FLAGS_LEFT_OUT,
    )


def _next_value(rest: list[str]) -> str:
    """Take the value of an option from the words after it; "true" where none follows."""
    return rest.pop(0) if rest and not rest[0].startswith("-") and "=" not in rest[0] else "true"


def _rewritten(words: Sequence[str], options: Collection[str], *, builds: bool) -> tuple[list[str], bool]:
    """The words with their settings in their spelling, and whether there was one.

    options: those that exist. builds: settings are those of the dataset builder.
    """
    from trm_cli.config.reference import every_key

    keys = {one.key for one in every_key()}
    written, settings, rest = [], False, list(words)
    denied: list[str] = []
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        name = _name(word)
        if option in _CONTINUE and option not in options:
            continue
        key, ours, flag, model, left_out = _meaning(name, keys, builds=builds)
        known = key or flag or model or left_out or ours in options
        if not name or option in options or not (known or (builds and option.startswith("--"))):
            written.append(word)
            continue
        following = value if equals else next(iter(rest), "")
        if flag and following.lower() in other_names.FALSE:
            flag = other_names.DENIED.get(flag, "")
            if not flag:
                written.append(word)
                continue
            denied.append(flag)
        alone = flag or name in other_names.FLAGS_LEFT_OUT
        takes_value = not alone or following.lower() in (*other_names.TRUE, *other_names.FALSE)
        if not equals and takes_value:
            value = _next_value(rest)
        if model:
            written.insert(0, value)
        elif ours in options:
            written += [ours, value]
        elif not left_out:
            text = _VALUES.get((key, value.lower()), value)
            written.append(flag or (f"{key}={text}" if key else f"dataset_args.{name}={value}"))
            settings = True
    return other_names.without_denied(written, denied), settings


#: Options of other programs that continue a run; those that name it; those that train with several values.
_CONTINUE = ("--resume", "--continue", "--auto-resume")
_CHECKPOINTS = ("resume", "resume_from_checkpoint", "ckpt_path", "resume_from", "resume_path", "checkpoint", "load")
_SWEEPS = ("m", "multirun", "sweep")
_VALUES = {("device", "gpu"): "cuda", ("precision", "fp16"): "float16", ("precision", "bf16"): "bfloat16"}
