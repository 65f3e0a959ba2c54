"""`trm doctor`: what this machine has, and what that means for training."""

from __future__ import annotations

from pathlib import Path

import typer

from trm_cli.commands.arguments import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(as_json: Json = False) -> None:
    """Look at Python, torch, cards, memory, disk, Weights & Biases and the hub, and say what to train with here.

    [dim]Example: trm doctor[/dim]
    """
    from trm_cli.console.output import note, print_json, stdout
    from trm_cli.console.views.doctor import doctor_document, doctor_screen
    from trm_cli.training.hardware.torch_runtime import prepare_threads

    prepare_threads()
    note("searching for devices and libraries ...")
    from trm_cli.workflows.doctor import advise, examine

    findings = examine(Path.cwd())
    advice = advise()
    if as_json:
        print_json(doctor_document(findings, advice))
    else:
        stdout().print(doctor_screen(findings, advice))
