"""`trm solve`: one puzzle, the answer, and how the model got there; or many puzzles, one a line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.arguments import Device, Json, TrainedRun

if TYPE_CHECKING:
    import torch

    from trm_cli.data.puzzles.families import TextFamily
    from trm_cli.training.run.trained_model import TrainedModel

Puzzle = Annotated[
    str | None, typer.Argument(help="The puzzle itself, or a file; without it, standard input.", show_default=False)
]
Steps = Annotated[int | None, typer.Option(min=1, help="Supervision steps; default: as trained.")]
Task = Annotated[str | None, typer.Option(help="ARC: the name of the task in the dataset.", metavar="NAME")]
Votes = Annotated[
    int | None, typer.Option(min=1, help="ARC: augmentations that vote; default: all that the model knows.")
]
AllSolutionsOf = Annotated[
    Path | None, typer.Option(help="A file of puzzles, one a line; prints an answer for each line.", metavar="FILE")
]


@dataclass(frozen=True)
class SolveRequest:
    """What was typed; lines: a file of many puzzles."""

    run: str
    puzzle: str | None
    steps: int | None
    task: str | None
    votes: int | None
    lines: Path | None
    as_json: bool


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("solve")(solve_puzzle)


def solve_puzzle(
    run: TrainedRun,
    puzzle: Puzzle = None,
    steps: Steps = None,
    task: Task = None,
    votes: Votes = None,
    all_solutions_of: AllSolutionsOf = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Solve a Sudoku, a maze or an ARC task (JSON), and show how the answer changed from step to step.

    With --all-solutions-of, a line that cannot be read is named, answered by an empty line, and makes the exit code 1.

    [dim]Example: trm solve checkpoints/sudoku-4x4 '1... .... ..2. ...3'[/dim]
    """
    from trm_cli.errors import UsageError
    from trm_cli.training.hardware.devices import prepare_threads

    if all_solutions_of is not None and puzzle is not None:
        raise UsageError("a puzzle and --all-solutions-of exclude each other")
    prepare_threads()
    import torch

    from trm_cli.training.hardware.devices import choose_device
    from trm_cli.training.run.trained_model import load_trained

    where = torch.device(choose_device(device or ("cpu" if all_solutions_of is None else "auto")).value)
    trained = load_trained(run, where)
    asked = SolveRequest(run, puzzle, steps, task, votes, all_solutions_of, as_json)
    solve = _on_tokens if trained.config.canvas_size is None else _on_canvas
    solve(asked, trained, where)


def _on_canvas(asked: SolveRequest, trained: TrainedModel, where: torch.device) -> None:
    """An ARC task through a network of capsules."""
    from trm_cli.errors import UsageError
    from trm_cli.workflows import solve_canvas

    if asked.votes is not None or asked.lines is not None:
        raise UsageError("--votes and --all-solutions-of are for networks of tokens; this one reads a canvas")
    is_file = asked.puzzle is not None and asked.puzzle.endswith(".json")
    name = asked.task or (Path(asked.puzzle or "").stem if is_file else None)
    solve_canvas.solve(trained, _text(asked.puzzle), where, task=name, steps=asked.steps, as_json=asked.as_json)


def _on_tokens(asked: SolveRequest, trained: TrainedModel, where: torch.device) -> None:
    """A puzzle that is rows of tokens, an ARC task among them, or a file of many."""
    from trm_cli.data.puzzles.kinds import kind_of
    from trm_cli.errors import UsageError
    from trm_cli.workflows import solve_arc, solve_lines

    kind, steps, as_json = kind_of(trained.metadata), asked.steps, asked.as_json
    family = kind.typed(trained.metadata)
    if family is None and not kind.votes:
        raise UsageError(
            f"{asked.run} was trained on {trained.metadata.kind or 'other'} rows",
            hint="solve reads Sudoku boards, mazes and ARC tasks",
        )
    if family is None:
        if asked.lines is not None:
            raise UsageError("ARC tasks are solved one at a time", hint="many at once: trm evaluate")
        text = _text(asked.puzzle)
        solve_arc.solve(trained, text, where, task=asked.task, votes=asked.votes, steps=steps, as_json=as_json)
        return
    if asked.task is not None or asked.votes is not None:
        raise UsageError(f"--task and --votes are for ARC tasks; {asked.run} was trained on other puzzles")
    if asked.lines is not None:
        raise typer.Exit(solve_lines.solve(trained, asked.lines, family, where, steps=steps, as_json=as_json))
    _solve_one(asked, trained, family, where)


def _solve_one(asked: SolveRequest, trained: TrainedModel, family: TextFamily, where: torch.device) -> None:
    import torch

    from trm_cli.console.answers.puzzle import solution_document, solution_screen
    from trm_cli.console.output import print_json, stdout
    from trm_cli.evaluation.solving.puzzle import solve

    torch.set_num_threads(1)  # one small puzzle: threads would only wait for each other
    tokens = family.parse(_text(asked.puzzle))
    thoughts = solve(trained.model, tokens, where, steps=asked.steps)
    if asked.as_json:
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
