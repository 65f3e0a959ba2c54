"""`trm quickstart`: build a dataset, train a model that suits this machine, and solve a held-out puzzle with it."""

from __future__ import annotations

import typer

from trm_cli.training.signals import starting


@starting()
def quickstart() -> None:
    """Train the model that suits this machine, then show it solving a puzzle that it has never seen.

    [dim]Example: trm quickstart[/dim]
    """
    from trm_cli.commands.options.running import train_here
    from trm_cli.config.compose import compose
    from trm_cli.console.answers.solution import show_solution
    from trm_cli.console.output import note
    from trm_cli.errors import ExitCode
    from trm_cli.shell import command_line
    from trm_cli.workflows.quickstart import choose_model, solve_held_out
    from trm_cli.workflows.train.train import TrainRequest

    choice = choose_model()
    note(f"Model {choice.value}: {choice.reason}")
    result = train_here(compose(choice.value), TrainRequest())
    if result.exit_code is ExitCode.DONE and (solution := solve_held_out(str(result.run))) is not None:
        note("\nOne of the puzzles that it has never seen, step by step (bold: given, green: just changed):\n")
        show_solution(solution, as_json=False)
        solve = command_line("trm", "solve", result.run, solution.family.line(solution.puzzle))
        note(f"\nTry one of your own: {solve}")
    raise typer.Exit(result.exit_code)
