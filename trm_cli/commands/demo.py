"""`trm demo`: a page in the browser where a run solves puzzles step by step."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from trm_cli.commands.options import completion
from trm_cli.commands.options.arguments import Device

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Backend(StrEnum):
    """The programs that compute supervision steps."""

    torch = "torch"
    onnx = "onnx"


def demo(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|FILE]",
            help="A run, a checkpoint, or hf:OWNER/NAME; default: the latest run, else a model that comes with trm.",
            autocompletion=completion.runs,
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0: any that is free.")] = 8377,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; any but loopback lets others in.", metavar="ADDRESS"),
    ] = "127.0.0.1",
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    device: Device = None,
    backend: Annotated[Backend, typer.Option(help="What computes the steps.")] = Backend.torch,
) -> None:
    """Show a run in the browser: type, paste or drop a puzzle, solve it, and step through the answers.

    The second tab shows the plan and the curves, live while the run trains. The page talks to this machine alone.

    [dim]Example: trm demo checkpoints/sudoku-4x4[/dim]
    """
    from trm_cli.commands.options.arguments import expect_run
    from trm_cli.console.output import note
    from trm_cli.errors import TrmError, UsageError
    from trm_cli.training.run.find_run import known_runs
    from trm_cli.workflows.solve.pretrained import largest_pretrained

    if run is None:
        runs = known_runs()
        run = str(runs[0]) if runs else largest_pretrained().name
    expect_run(run, device)
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise UsageError("the page needs starlette and uvicorn", hint="pip install starlette uvicorn") from error
    from trm_cli.demo.listening import listen

    try:
        listener = listen(host, port)
    except OSError as error:
        hint = "another --port, or --port 0 for any that is free"
        raise TrmError(f"cannot listen on {host} port {port}: {error.strerror}", hint=hint) from error
    with listener:  # from here on it takes seconds
        from trm_cli.demo.server import make_server
        from trm_cli.demo.subject import Subject

        subject = Subject.open(run, device or "cpu", onnx=backend is Backend.onnx)
        local = host in _LOOPBACK
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}"
        note(f"{run} is at {address}; Ctrl-C ends it")
        if not local:
            note("note: whoever reaches this address can use the model, and sees the run's plan and curves")
        if open_page:
            import webbrowser

            webbrowser.open(address)
        app = make_server(subject, [*_LOOPBACK, "[::1]"] if local else ["*"])
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])
