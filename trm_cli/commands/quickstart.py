"""`trm quickstart`: from nothing to a network that solves puzzles it has never seen."""

from __future__ import annotations

import typer

from trm_cli.training.signals import starting


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("quickstart")(quickstart)


@starting()
def quickstart() -> None:
    """Train the model that suits this machine, then show it solving a puzzle that it has never seen.

    [dim]Example: trm quickstart[/dim]
    """
    from trm_cli.config.compose import compose
    from trm_cli.console.output import note
    from trm_cli.errors import ExitCode
    from trm_cli.workflows.quickstart import choose_model
    from trm_cli.workflows.train import TrainRequest, run_training

    choice = choose_model()
    note(f"Model {choice.value}: {choice.reason}")
    resolved = compose(choice.value)
    code = run_training(resolved, TrainRequest())
    if code is ExitCode.DONE and resolved.registry is not None and resolved.registry.name.startswith("sudoku"):
        _show_one_puzzle(resolved.config.checkpoint_path)
    raise typer.Exit(code)


def _show_one_puzzle(run: str) -> None:
    import torch

    from trm_cli.console.answers.puzzle import solution_screen
    from trm_cli.console.output import note, stdout
    from trm_cli.data.puzzles.kinds import kind_of
    from trm_cli.evaluation.solving.puzzle import solve
    from trm_cli.training.run.trained_model import load_trained
    from trm_cli.workflows.quickstart import held_out_puzzle

    trained = load_trained(run, torch.device("cpu"))
    family = kind_of(trained.metadata).typed(trained.metadata)
    assert family is not None
    puzzle = held_out_puzzle(trained)
    note("\nOne of the puzzles that it has never seen, step by step (bold: given, green: just changed):\n")
    stdout().print(solution_screen(puzzle, solve(trained.model, puzzle, torch.device("cpu")), family))
    note(f"\nTry one of your own: trm solve {run} {family.line(puzzle)}")
