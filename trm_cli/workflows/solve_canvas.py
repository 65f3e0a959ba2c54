"""`trm solve RUN TASK.json` for a network of capsules."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from trm_cli.training.run.trained_model import TrainedModel


def solve(
    trained: TrainedModel, text: str, device: torch.device, *, task: str | None, steps: int | None, as_json: bool
) -> None:
    """Read the task, ask the network, print. task: its name in the run's dataset. Raises UsageError."""
    from trm_cli.console.answers.canvas import canvas_document, canvas_screen
    from trm_cli.console.output import print_json, stdout
    from trm_cli.data.arc.task import parse_arc_task
    from trm_cli.evaluation.samples.canvas_samples import identifier_of
    from trm_cli.evaluation.solving.canvas import solve_task
    from trm_cli.models.hesc.model import MultimodalHesc

    assert isinstance(trained.model, MultimodalHesc)
    asked, name = parse_arc_task(text, task), task or ""
    identifier = identifier_of(name, trained.config.data_paths)
    answers = solve_task(trained.model, asked, trained.metadata.seq_len, identifier, device, steps)
    if as_json:
        print_json(canvas_document(name, identifier > 0, answers, trained.checkpoint, trained.step))
    else:
        stdout().print(canvas_screen(name, identifier > 0, answers))
