"""`trm solve`: one puzzle, the answer, and how the model got there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.arguments import Device


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("solve")(solve_puzzle)


def solve_puzzle(
    run: Annotated[str, typer.Argument(help="A run directory, its name in checkpoints/, or a checkpoint file.")],
    puzzle: Annotated[
        str | None, typer.Argument(help="The puzzle itself, or a file; without it, standard input.", show_default=False)
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Supervision steps; default: as trained.")] = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Solve one puzzle and show how the answer changed from step to step.

    [dim]Example: trm solve checkpoints/sudoku-4x4 '1... .... ..2. ...3'[/dim]
    """
    from trm_cli.console.output import print_json, stdout
    from trm_cli.console.solution import solution_document, solution_screen
    from trm_cli.training.devices import prepare_threads

    prepare_threads()
    import torch

    from trm_cli.data.puzzle_text import box_of, parse_sudoku
    from trm_cli.errors import UsageError
    from trm_cli.evaluation.solving import solve
    from trm_cli.training.devices import choose_device
    from trm_cli.training.inference import load_trained

    torch.set_num_threads(1)  # one small puzzle: threads would only wait for each other
    where = torch.device(choose_device(device or "cpu").value)
    trained = load_trained(run, where)
    box = box_of(trained.metadata)
    if box is None:
        raise UsageError(f"{run} was trained on {trained.metadata.kind} puzzles; solve reads Sudoku boards so far")
    tokens = parse_sudoku(_text(puzzle), trained.metadata.seq_len)
    thoughts = solve(trained.model, tokens, where, steps=steps)
    if as_json:
        print_json(solution_document(tokens, thoughts, box, trained.checkpoint, trained.step))
    else:
        stdout().print(solution_screen(tokens, thoughts, box))


def _text(puzzle: str | None) -> str:
    """What was typed, the file that it names, or standard input."""
    from trm_cli.errors import UsageError

    if puzzle is None:
        if sys.stdin.isatty():
            raise UsageError(
                "no puzzle is given", hint="trm solve RUN PUZZLE, or pipe one in: echo '1...' | trm solve RUN"
            )
        return sys.stdin.read()
    path = Path(puzzle)
    try:
        if len(puzzle) < 256 and path.is_file():
            return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{puzzle} cannot be read as text: {error}") from error
    return puzzle
