"""`--allow-builder`: no program that a model names starts before its command line stands on the screen.

The builders of this package, and programs that lie in the working directory, start then. For any other a person is
asked on a terminal, and elsewhere the option is needed: a model file may come from anywhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer

_VARIABLE = "TRM_ALLOW_BUILDER"


def _install(context: typer.Context, allowed: bool) -> bool:
    """Print, and check, every builder that the command starts. Commands that it starts inherit the permission."""
    from trm_cli.data.building import builder_command

    def leave() -> None:
        builder_command.before_start = before
        if inherited is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = inherited

    before, inherited = builder_command.before_start, os.environ.get(_VARIABLE)
    if allowed:
        os.environ[_VARIABLE] = "1"
    context.call_on_close(leave)
    builder_command.before_start = partial(_announce, allowed)
    return allowed


AllowBuilder = Annotated[
    bool,
    typer.Option(
        "--allow-builder",
        callback=_install,
        envvar=_VARIABLE,
        help="Start a dataset builder that lies outside this package and this directory.",
    ),
]


def _announce(allowed: bool, command: Sequence[str]) -> None:
    """Print a builder's command line; raises BuilderNotAllowed for one from elsewhere that nobody has allowed."""
    from trm_cli.console.views.build import show_command
    from trm_cli.data.building.builder_command import BuilderNotAllowed, comes_from_elsewhere

    show_command(command)
    if allowed or os.environ.get(_VARIABLE) == "1" or not comes_from_elsewhere(command):
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        if typer.confirm("This program comes with neither trm nor this directory. Start it?", err=True):
            os.environ[_VARIABLE] = "1"  # asked once: first for the plan, then for the build
            return
        raise BuilderNotAllowed("the builder was not started")
    raise BuilderNotAllowed(
        "the model names a builder that lies outside this package and this directory: it was not started",
        hint="read it, then add --allow-builder",
    )
