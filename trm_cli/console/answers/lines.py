"""Print the answers to many puzzles, one a line, as they are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trm_cli.console.answers.steps import about_model
from trm_cli.console.output import note, print_json, write_piece
from trm_cli.console.progress import counting
from trm_cli.console.tables import counted
from trm_cli.errors import ExitCode

if TYPE_CHECKING:
    from trm_cli.data.puzzles.families import TextFamily
    from trm_cli.evaluation.solving.lines import Answer
    from trm_cli.workflows.solve.lines import LineSolutions


def show_lines(solutions: LineSolutions, source: str, *, as_json: bool) -> ExitCode:
    """Print an answer for each line of `source` on stdout (or one document at the end), an empty line where a line
    cannot be read; returns whether all could be read and were solved."""
    from trm_cli.evaluation.solving.lines import Answer

    answers: list[dict[str, Any]] = []
    unreadable: list[dict[str, Any]] = []
    with counting(solutions.puzzles, "puzzles") as advance:
        for batch in solutions.batches:
            for one in batch:
                if isinstance(one, Answer):
                    answers.append(_entry(one, solutions.family))
                else:
                    unreadable.append({"line": one.number, "problem": one.problem})
                    note(f"{source}:{one.number}: {one.problem}")
                if not as_json:
                    write_piece((answers[-1]["answer"] if isinstance(one, Answer) else "") + "\n")
            advance(len(batch))
    solved = sum(answer["solved"] for answer in answers)
    if as_json:
        about = about_model(solutions.checkpoint, solutions.step)
        print_json({**about, "puzzles": len(answers), "solved": solved, "unreadable": unreadable, "answers": answers})
    share = f" ({solved / len(answers):.1%}, checked against the rules)" if answers else ""
    note(f"{counted(len(answers), 'puzzle')}: {solved:,} solved{share}")
    if unreadable:
        note(f"{counted(len(unreadable), 'line')} could not be read")
    return ExitCode.FAILED if unreadable else ExitCode.DONE if solved == len(answers) else ExitCode.UNSOLVED


def _entry(answer: Answer, family: TextFamily) -> dict[str, Any]:
    return {
        "line": answer.line.number,
        "puzzle": family.line(answer.line.tokens or ()),
        "answer": family.line(answer.tokens),
        "solved": answer.solved,
        "views": answer.views,
        "q_halt": answer.confidence,
    }
