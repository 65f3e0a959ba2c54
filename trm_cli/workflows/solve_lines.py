"""`trm solve --all-solutions-of FILE`: an answer for every line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    import torch

    from trm_cli.data.puzzles.families import TextFamily
    from trm_cli.training.run.trained_model import TrainedModel


def solve(
    trained: TrainedModel, path: Path, family: TextFamily, device: torch.device, *, steps: int | None, as_json: bool
) -> ExitCode:
    """Print the answers in the order of the lines; DONE where every line could be read."""
    from trm_cli.console.answers.document import about_model
    from trm_cli.console.counting import counting
    from trm_cli.console.output import note, print_json, print_line
    from trm_cli.console.tables import counted
    from trm_cli.evaluation.solving.lines import Answer, read_lines, solve_lines

    lines = read_lines(_lines(path), family)
    if not lines:
        raise UsageError(f"{path} holds no puzzle", hint="one puzzle a line")
    batch = 256 if device.type == "cuda" else 32
    answers: list[dict[str, Any]] = []
    unreadable: list[dict[str, Any]] = []
    solved = 0
    with counting(len(lines), "puzzles") as advance:
        for batch_of in solve_lines(trained.model, lines, family, device, steps=steps, batch_size=batch):
            for one in batch_of:
                if isinstance(one, Answer):
                    solved += one.solved
                    answers.append(_entry(one, family))
                else:
                    unreadable.append({"line": one.number, "problem": one.problem})
                    note(f"{path}:{one.number}: {one.problem}")
                if not as_json:
                    print_line(answers[-1]["answer"] if isinstance(one, Answer) else "")
            advance(len(batch_of))
    if as_json:
        about = about_model(trained.checkpoint, trained.step)
        print_json({**about, "puzzles": len(answers), "solved": solved, "unreadable": unreadable, "answers": answers})
    share = f" ({solved / len(answers):.1%}, checked against the rules)" if answers else ""
    note(f"{counted(len(answers), 'puzzle')}: {solved:,} solved{share}")
    if unreadable:
        note(f"{counted(len(unreadable), 'line')} could not be read")
    return ExitCode.FAILED if unreadable else ExitCode.DONE


def _entry(answer: Any, family: TextFamily) -> dict[str, Any]:
    return {
        "line": answer.line.number,
        "puzzle": family.line(answer.line.tokens),
        "answer": family.line(answer.tokens),
        "solved": answer.solved,
        "q_halt": answer.confidence,
    }


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text: {error}") from error
