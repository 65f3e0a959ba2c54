"""`trm solve`: one puzzle, the answer, and how the model got there; or many puzzles, one a line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.arguments import Device

if TYPE_CHECKING:
    import torch

    from trm_cli.training.inference import TrainedModel


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("solve")(solve_puzzle)


def solve_puzzle(
    run: Annotated[str, typer.Argument(help="A run directory, its name in checkpoints/, or a checkpoint file.")],
    puzzle: Annotated[
        str | None, typer.Argument(help="The puzzle itself, or a file; without it, standard input.", show_default=False)
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Supervision steps; default: as trained.")] = None,
    task: Annotated[str | None, typer.Option(help="ARC: the name of the task in the dataset.", metavar="NAME")] = None,
    votes: Annotated[
        int | None, typer.Option(min=1, help="ARC: augmentations that vote; default: all that the model knows.")
    ] = None,
    all_solutions_of: Annotated[
        Path | None,
        typer.Option(help="A file of puzzles, one a line; prints an answer for each line.", metavar="FILE"),
    ] = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Solve a Sudoku, a maze or an ARC task (JSON), and show how the answer changed from step to step.

    With --all-solutions-of, a line that cannot be read is named, answered by an empty line, and makes the exit code 1.

    [dim]Example: trm solve checkpoints/sudoku-4x4 '1... .... ..2. ...3'[/dim]
    """
    from trm_cli.errors import UsageError
    from trm_cli.training.devices import prepare_threads

    if all_solutions_of is not None and puzzle is not None:
        raise UsageError("a puzzle and --all-solutions-of exclude each other")
    prepare_threads()
    import torch

    from trm_cli.commands import solve_arc, solve_lines
    from trm_cli.data.puzzle_families import family_of
    from trm_cli.training.devices import choose_device
    from trm_cli.training.inference import load_trained

    where = torch.device(choose_device(device or ("cpu" if all_solutions_of is None else "auto")).value)
    trained = load_trained(run, where)
    if trained.config.canvas_size is not None:
        from trm_cli.commands import solve_canvas

        if votes is not None or all_solutions_of is not None:
            raise UsageError("--votes and --all-solutions-of are for networks of tokens; this one reads a canvas")
        name = task or (Path(puzzle).stem if puzzle is not None and puzzle.endswith(".json") else None)
        solve_canvas.solve(trained, _text(puzzle), where, task=name, steps=steps, as_json=as_json)
        return
    family = family_of(trained.metadata)
    if family is None:
        raise UsageError(
            f"{run} was trained on {trained.metadata.kind or 'other'} rows",
            hint="solve reads Sudoku boards, mazes and ARC tasks",
        )
    if family == "arc":
        if all_solutions_of is not None:
            raise UsageError("ARC tasks are solved one at a time", hint="many at once: trm evaluate")
        solve_arc.solve(trained, _text(puzzle), where, task=task, votes=votes, steps=steps, as_json=as_json)
        return
    if task is not None or votes is not None:
        raise UsageError(f"--task and --votes are for ARC tasks; {run} was trained on other puzzles")
    if all_solutions_of is not None:
        raise typer.Exit(solve_lines.solve(trained, all_solutions_of, family, where, steps=steps, as_json=as_json))
    torch.set_num_threads(1)  # one small puzzle: threads would only wait for each other
    _solve_one(trained, _text(puzzle), where, steps=steps, as_json=as_json)


def _solve_one(trained: TrainedModel, text: str, device: torch.device, *, steps: int | None, as_json: bool) -> None:
    from trm_cli.console.output import print_json, stdout
    from trm_cli.console.solution import solution_document, solution_screen
    from trm_cli.data.puzzle_families import family_of
    from trm_cli.evaluation.solving import solve

    family = family_of(trained.metadata)
    assert family is not None
    assert family != "arc"
    tokens = family.parse(text)
    thoughts = solve(trained.model, tokens, device, steps=steps)
    if as_json:
        print_json(solution_document(tokens, thoughts, family, trained.checkpoint, trained.step))
    else:
        stdout().print(solution_screen(tokens, thoughts, family))


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
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{puzzle} cannot be read as text: {error}") from error
    return puzzle
