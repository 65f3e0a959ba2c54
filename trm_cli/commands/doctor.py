"""`trm doctor`: check this machine, and recommend what to train on it."""

from __future__ import annotations

from pathlib import Path

from trm_cli.commands.options.arguments import Json


def doctor(as_json: Json = False) -> None:
    """Check Python, torch, GPUs, memory, disk, Weights & Biases and the hub, and recommend what to train here.

    [dim]Example: trm doctor[/dim]
    """
    from trm_cli.console.output import note, print_result
    from trm_cli.console.views.doctor import doctor_document, doctor_screen
    from trm_cli.training.hardware.torch_runtime import prepare_threads

    prepare_threads()
    note("searching for devices and libraries ...")
    from trm_cli.workflows.doctor import advise, examine

    findings, advice = examine(Path.cwd()), advise()
    print_result(doctor_document(findings, advice), doctor_screen(findings, advice), as_json=as_json)
