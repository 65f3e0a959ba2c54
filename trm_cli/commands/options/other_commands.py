"""Know what other programs call our commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_MEANT = {
    "evaluate": "eval test score validate-model",
    "solve": "predict infer inference run answer ask",
    "train": "fit pretrain start finetune fine-tune",
    "configs list": "list ls models architectures",
    "checkpoints list": "runs status info checkpoint ckpt",
    "checkpoints pull": "download fetch get",
    "checkpoints push": "upload publish share",
    "checkpoints export": "convert save",
    "configs copy": "init new create",
    "generate": "sample chat complete text",
    "sweep": "tune search optuna hpo grid",
    "report": "plot view visualize curves history log logs tensorboard",
    "demo": "serve ui web app gradio play",
    "build-dataset": "build prepare preprocess data dataset make-data",
    "inspect-dataset": "show-dataset browse",
    "inspect-model": "summary params model inspect",
    "inspect-schedule": "schedule plan",
    "doctor": "env check diagnose gpu",
    "launch": "submit slurm",
    "resume": "continue restart",
}
_IN_GROUPS = {
    "checkpoints prune": "delete rm remove clean",
    "checkpoints pull": "download fetch get",
    "checkpoints push": "upload publish share",
    "checkpoints list": "ls show info",
    "checkpoints verify": "check test",
    "checkpoints export": "convert save",
    "configs show": "get print cat dump",
    "configs validate": "check lint test",
    "configs list": "ls models",
    "configs copy": "init new create edit",
}
_OPTIONS = {"help": "--help", "version": "--version", "usage": "--help"}


def command_meant(program: Any, words: Sequence[str], group: str = "") -> str:
    """Return the command line that an unknown first word means, "" where nothing is known of it.

    program: the command of the whole program, as typer makes it. group: the word follows this one.
    """
    from trm_cli.shell import command_line

    name, rest = words[0], list(words[1:])
    if name in _OPTIONS:
        known = rest[:1] if rest[:1] and rest[0] in program.commands else []
        return " ".join(["trm", *known, _OPTIONS[name]])
    table = {ours: others for ours, others in _IN_GROUPS.items() if ours.split()[0] == group} if group else _MEANT
    meant = next((ours for ours, others in table.items() if name in others.split()), None)
    if meant is None and not group:  # one of a group's: `trm export RUN`
        owners = [owner for owner, command in program.commands.items() if name in getattr(command, "commands", {})]
        meant = f"{owners[0]} {name}" if owners else None
    return "" if meant is None else command_line("trm", *meant.split(), *rest)
