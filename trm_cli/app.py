"""The `trm` program: its commands, its global options, and how an error becomes a message and an exit code.

Command modules import only typer at the top; what they need for the work they import inside the function, so that
`trm --help` and shell completion never wait for torch.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

from trm_cli.collector import spare_imports

# Both before pydantic is imported (typer does): it would read the metadata of every installed package in search of
# plugins, and make many small objects.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
spare_imports()

import typer  # noqa: E402

from trm_cli.commands import register_commands  # noqa: E402
from trm_cli.commands.options.completion import mend_scripts  # noqa: E402
from trm_cli.console.streams import prepare_streams  # noqa: E402
from trm_cli.errors import ExitCode, TrmError, first_line  # noqa: E402
from trm_cli.log_level import VARIABLE, LogLevel, configure_logging  # noqa: E402
from trm_cli.paths import do_without_temporary_folder  # noqa: E402
from trm_cli.version import __version__  # noqa: E402

EXIT_CODES = "  ".join(f"{code.value} {code.meaning}." for code in ExitCode)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trm {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", envvar="TRM_DEBUG")] = False,
    log_level: Annotated[
        LogLevel | None,
        typer.Option("--log-level", help="Log to stderr, from this level on.", envvar=VARIABLE, case_sensitive=False),
    ] = None,
) -> None:
    """Options that stand before the command."""
    del version  # its callback has printed it
    if debug:
        os.environ["TRM_DEBUG"] = "1"
    if log_level is not None:
        from trm_cli.console.output import note

        configure_logging(log_level, note)


def create_app(called: str | None = None) -> typer.Typer:
    """The program with the command that is called, or with all of them."""
    app = typer.Typer(
        name="trm",
        help="Build datasets for, train, resume and inspect Tiny Recursive Models.",
        epilog=f"Exit codes:  {EXIT_CODES}",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    register_commands(app, called)
    return app


def main() -> None:
    """Run `trm` and leave with one of the documented exit codes."""
    prepare_streams()
    if any(word.startswith(("--install-completion", "--show-completion")) for word in sys.argv[1:2]):
        mend_scripts()
    do_without_temporary_folder()
    try:
        try:
            code = _run(create_app(sys.argv[1] if len(sys.argv) > 1 else None))
        finally:
            sys.stdout.flush()
    except TrmError as error:
        _fail(error)
    except OSError as error:
        # What the system refuses and nobody foresaw: a full disk, a name that is too long, a folder that is closed.
        place = "" if error.filename is None else f"{error.filename}: "
        _fail(TrmError(f"{place}{error.strerror or error}", hint="TRM_DEBUG=1 in the environment shows where"))
    except RuntimeError as error:
        _fail(_full(error))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    sys.exit(code)


def _full(error: RuntimeError) -> TrmError:
    """The error of a device, or a machine, without memory for a command. Raises any other error again."""
    if "torch" not in sys.modules:
        raise error
    from trm_cli.training.memory.check import is_out_of_memory

    if not is_out_of_memory(error):
        raise error
    return TrmError(
        f"out of memory: {first_line(error)[:160]}",
        hint="fewer rows at once need less: micro_batch_size=8, --batch-size 8; device=cpu has the machine's memory",
    )


def _run(app: typer.Typer) -> int:
    """Run the program and return its exit code; words that it refuses are printed without control characters."""
    command = typer.main.get_command(app)
    try:
        code = command(standalone_mode=False)
    except typer.Abort:
        return ExitCode.FAILED
    except Exception as error:
        # Typer brings a click of its own, or not: its usage errors are known by what they can do.
        if not hasattr(error, "format_message"):
            raise
        from typer.rich_utils import rich_format_error

        from trm_cli.commands.options.settings import hint_for
        from trm_cli.console.panels import visible

        hint = hint_for(command, sys.argv[1:])
        message = visible(error.format_message()).replace("Value error, ", "")
        if hint:  # which is better than the options and commands that look alike
            message = message.partition(" (Possible options")[0].partition(" Did you mean")[0]
        error.format_message = lambda: message
        rich_format_error(error)  # type: ignore[arg-type]
        if hint:
            from trm_cli.console.output import note

            note(f"hint: {hint}")
        return int(getattr(error, "exit_code", ExitCode.USAGE))
    return code if isinstance(code, int) else ExitCode.DONE


def _fail(error: TrmError) -> NoReturn:
    from trm_cli.console.panels import render_error

    if error.hint and "MODEL" in error.hint:
        from trm_cli.commands.options.arguments import model_meant

        meant = model_meant(sys.argv[1:], error.message)
        unknown = "" if meant else " (MODEL is one of `trm configs list`)"
        error.hint = error.hint.replace("MODEL", meant or "MODEL") + unknown
    if os.environ.get("TRM_DEBUG"):
        import traceback

        traceback.print_exc()
    render_error(error)
    sys.exit(error.exit_code)
