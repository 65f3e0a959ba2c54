"""`trm solve RUN TASK.json` for a model that was trained on ARC."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    import torch

    from trm_cli.training.run.trained_model import TrainedModel


def solve(
    trained: TrainedModel,
    text: str,
    device: torch.device,
    *,
    task: str | None,
    votes: int | None,
    steps: int | None,
    as_json: bool,
) -> None:
    """Find the task among those that the model knows, and vote. Raises UsageError where it knows it not."""
    from trm_cli.console.answers.arc import arc_document, arc_screen
    from trm_cli.console.counting import counting
    from trm_cli.console.output import note, print_json, stdout
    from trm_cli.console.tables import counted
    from trm_cli.data.arc.identifiers import read_identifiers
    from trm_cli.data.arc.task import find_task, parse_arc_task
    from trm_cli.evaluation.solving.arc import ArcSolver, variants_of

    wanted = parse_arc_task(text, task)
    root = _dataset(trained)
    identifiers = read_identifiers(root)
    name = task or find_task(wanted, root, identifiers)
    variants = variants_of(name or "", identifiers, votes)
    if name is None or not len(variants):
        said = f"no task called {name}" if name is not None else "no task with these demonstrations"
        raise UsageError(
            f"{root}, which the model was trained on, has {said}: the puzzle table has no row for it",
            hint="a model learns a task from its demonstrations: build a dataset that holds it (trm build-dataset) "
            "and train on it; --task NAME names one of the dataset's own",
        )
    inputs, augmentations = counted(len(wanted.tests), "test input"), counted(len(variants), "augmentation")
    note(f"task {name}: {inputs} under {augmentations}")
    if device.type == "cpu" and len(variants) > 64:
        note("on the CPU this takes long: --votes 16 asks fewer, --device cuda another device")
    solver = ArcSolver(trained.model, identifiers, device, steps, 64 if device.type == "cuda" else 4)
    with counting(len(variants) * len(wanted.tests), "augmented inputs") as advance:
        answers = solver.solve(wanted, variants, advance)
    if as_json:
        print_json(arc_document(name, len(variants), answers, trained.checkpoint, trained.step))
    else:
        stdout().print(arc_screen(name, answers))


def _dataset(trained: TrainedModel) -> Path:
    """The dataset whose identifiers the table's rows are. Raises CheckpointError where it is not that one any more."""
    from trm_cli.data.puzzles.dataset import open_dataset

    paths = trained.config.data_paths
    if trained.model.puzzle_embedding is None:
        raise UsageError(
            "this model has no puzzle table (puzzle_emb_ndim 0), so it cannot tell one ARC task from another"
        )
    if len(paths) > 1:
        raise UsageError(f"the run was trained on {len(paths)} datasets; solve reads runs on one")
    now, then = open_dataset(paths, "train").fingerprint, trained.dataset_fingerprint
    if now != then:
        raise CheckpointError(
            f"{paths[0]} is not what the model was trained on: fingerprint {then[:12]} then, {now[:12]} now",
            hint="build it as it was (same flags and seed): the rows of the puzzle table would be those of other tasks",
        )
    return Path(paths[0])
