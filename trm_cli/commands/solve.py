"""`trm solve`: solve one puzzle and show each step of the answer, or solve a file with one puzzle a line."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from trm_cli.commands.options import completion
from trm_cli.commands.options.arguments import Device, Json
from trm_cli.paths import exists, is_file

Run = Annotated[
    str | None,
    typer.Argument(
        help="A run, a checkpoint file, or hf:OWNER/NAME; default: a Sudoku model that comes with trm.",
        autocompletion=completion.runs,
        show_default=False,
    ),
]
Puzzle = Annotated[
    str | None,
    typer.Argument(help="The puzzle itself, or a file; `-` or nothing: standard input.", show_default=False),
]
Steps = Annotated[int | None, typer.Option(min=1, help="Supervision steps; default: as trained.")]
Views = Annotated[
    int | None,
    typer.Option(min=1, help="Sudoku, mazes: symmetries tried until the rules hold; default 32.", metavar="N"),
]
Task = Annotated[str | None, typer.Option(help="ARC: the name of the task in the dataset.", metavar="NAME")]
Votes = Annotated[
    int | None,
    typer.Option(
        min=1, help="ARC: augmentations that vote; default: all that the model knows, 8 of a capsule network."
    ),
]
AllSolutionsOf = Annotated[
    Path | None, typer.Option(help="A file of puzzles, one a line; prints an answer for each line.", metavar="FILE")
]


#: A board as it is typed; a run may be called so, by its time.
_BOARD = re.compile(r"[\d._?*|+=:,;\s-]{16,}|[#SG._\s]{9,}")
#: Standard input, as other programs call it.
_STDIN = "-"
_FILE_ENDINGS = (".txt", ".json", ".csv", ".md", ".sdk", ".sdm", ".sudoku", ".maze")


def solve(
    run: Run = None,
    puzzle: Puzzle = None,
    steps: Steps = None,
    views: Views = None,
    task: Task = None,
    votes: Votes = None,
    all_solutions_of: AllSolutionsOf = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Solve a Sudoku, a maze or an ARC task (JSON), and show how the answer changed from step to step.

    An answer to a Sudoku or a maze is checked by the rules; where they do not hold, the network tries the puzzle under
    its symmetries. What is not solved ends with exit code 5. With --all-solutions-of, a line that cannot be read is
    named, answered by an empty line, and makes it 1.

    [dim]Example: trm solve checkpoints/sudoku-4x4 '1... .... ..2. ...3'[/dim]
    """
    from trm_cli.commands.options.arguments import expect_run, suggest_evaluation

    if puzzle is None and run is not None and (run == _STDIN or _is_puzzle(run)):
        run, puzzle = None, run
    if puzzle == _STDIN:
        puzzle = None
    if run is not None and puzzle is not None and _is_board(run) and not _BOARD.fullmatch(puzzle):
        from trm_cli.errors import UsageError
        from trm_cli.shell import command_line

        raise UsageError("the run stands before the puzzle", hint=command_line("trm", "solve", puzzle, run))
    text = None
    if run is None:
        text = _text(puzzle) if all_solutions_of is None else _read(all_solutions_of)
        run = _pretrained(text, one_a_line=all_solutions_of is not None)
    expect_run(run, device)
    from trm_cli.console.answers.solution import SolveScreen, show_solution
    from trm_cli.errors import ExitCode, UsageError
    from trm_cli.workflows.solve.request import SolveRequest
    from trm_cli.workflows.solve.solve import solve as solve_puzzle

    if all_solutions_of is not None:
        if puzzle is not None:
            raise UsageError("a puzzle and --all-solutions-of exclude each other")
        if task is not None or votes is not None:
            raise UsageError("--task and --votes are about one ARC task; leave them out beside --all-solutions-of")
        _solve_lines(run, all_solutions_of, steps, views, device, as_json)
        return
    request = SolveRequest(
        run=run,
        text=_text(puzzle) if text is None else text,
        file=Path(puzzle) if puzzle is not None and is_file(puzzle) else None,
        steps=steps,
        views=views,
        task=task,
        votes=votes,
        device=device or "cpu",
    )
    solution = solve_puzzle(request, SolveScreen())
    show_solution(solution, as_json=as_json)
    if not as_json:
        suggest_evaluation(run)
    if not solution.solved:
        raise typer.Exit(ExitCode.UNSOLVED)


def _is_board(word: str) -> bool:
    """Whether a word can be nothing but a board: no path, nor the name of a run."""
    from trm_cli.training.run_files import RUNS

    return _BOARD.fullmatch(word) is not None and not exists(word) and not exists(RUNS / word)


def _is_puzzle(word: str) -> bool:
    """Whether the only word of a command line is a puzzle, and no run."""
    from trm_cli.training.checkpoint.exported_weights import SUFFIX

    return _is_board(word) or (is_file(word) and Path(word).suffix not in (".pt", SUFFIX))


def _pretrained(text: str, *, one_a_line: bool) -> str:
    """The model that comes with the program for a puzzle; the user is told which."""
    from trm_cli.console.output import note
    from trm_cli.workflows.solve.pretrained import pretrained_for

    chosen = pretrained_for(text, one_a_line=one_a_line)
    note(f"no RUN is named: {chosen.described}, which comes with trm")
    return chosen.name


def _solve_lines(run: str, path: Path, steps: int | None, views: int | None, device: str | None, as_json: bool) -> None:
    from trm_cli.console.answers.lines import show_lines
    from trm_cli.console.output import note
    from trm_cli.workflows.solve.lines import solve_lines

    texts = _read(path).splitlines()
    where = device or "auto"
    solutions = solve_lines(run, texts, steps=steps, views=views, device=where, source=str(path), notify=note)
    raise typer.Exit(show_lines(solutions, str(path), as_json=as_json))


def _text(puzzle: str | None) -> str:
    """Read the puzzle: from the argument, the file that it names, or standard input."""
    from trm_cli.errors import UsageError

    if puzzle is None:
        if sys.stdin.isatty():
            raise UsageError(
                "no puzzle is given", hint="trm solve RUN PUZZLE, or pipe one in: echo '1...' | trm solve RUN"
            )
        piped = _read(sys.stdin.buffer, "standard input")
        if not piped.strip():
            raise UsageError("no puzzle is given, and standard input is empty", hint="trm solve RUN PUZZLE")
        return piped
    if is_file(puzzle):
        return _read(Path(puzzle))
    if "/" in puzzle or puzzle.lower().endswith(_FILE_ENDINGS):
        raise UsageError(f"there is no file {puzzle}", hint="name a file, or give the puzzle itself")
    return puzzle


def _read(source: Path | BinaryIO, name: str | None = None) -> str:
    """The text of a file or a stream, which messages call `name`."""
    from trm_cli.data.files.file_format import expect_no_nul
    from trm_cli.data.files.regular_file import open_regular
    from trm_cli.errors import UsageError
    from trm_cli.text_encoding import decode, encoding_of

    name = name or str(source)
    try:
        with open_regular(source) if isinstance(source, Path) else nullcontext(source) as stream:
            data = stream.read()
        if encoding_of(data) == "utf-8":
            expect_no_nul(name, data, error=UsageError)
        return decode(data)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text (byte {error.start})") from error
