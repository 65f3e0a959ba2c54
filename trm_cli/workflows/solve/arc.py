"""Solve an ARC task with a token network, by a vote over the augmentations that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import CheckpointError, UsageError
from trm_cli.shell import command_line

if TYPE_CHECKING:
    import torch

    from trm_cli.evaluation.solving.arc import InputAnswer
    from trm_cli.training.run.trained_model import TrainedModel
    from trm_cli.workflows.observers import SolveObserver
    from trm_cli.workflows.solve.request import SolveRequest

#: A submission has two attempts at each test input.
ATTEMPTS = 2
_MANY_VOTES = 64


@dataclass(frozen=True)
class ArcSolution:
    """The answers to the test inputs of a task. augmentations: the number of votes for each."""

    task: str
    augmentations: int
    answers: Sequence[InputAnswer]
    checkpoint: Path
    step: int

    @property
    def solved(self) -> bool:
        """Whether no known output was missed by both attempts."""
        return all(one.wanted is None or one.right(ATTEMPTS) for one in self.answers)


def solve_by_vote(
    trained: TrainedModel, request: SolveRequest, device: torch.device, observer: SolveObserver
) -> ArcSolution:
    """Find the task in the training data of a token network, and vote. Raises UsageError where it is not there."""
    from trm_cli.data.arc.identifiers import read_identifiers
    from trm_cli.data.arc.layout import side_of
    from trm_cli.data.arc.task import find_task, larger_than, parse_arc_task
    from trm_cli.evaluation.solving.arc import solve_task, variants_of

    wanted = parse_arc_task(request.text, request.task)
    side = side_of(trained.metadata.seq_len)
    if too_large := larger_than(wanted, side):
        raise UsageError(
            f"a grid of {too_large} cells does not fit the model's {side}x{side}",
            hint="train one on a larger canvas: --side of dataset_builders/arc.py",
        )
    root = _dataset(trained)
    identifiers = read_identifiers(root)
    name = request.task or find_task(wanted, root, identifiers)
    variants = variants_of(name or "", identifiers, request.votes)
    if name is None or not len(variants):
        said = f"no task called {name}" if name is not None else "no task with these demonstrations"
        raise UsageError(
            f"{root}, which the model was trained on, has {said}: the puzzle table has no row for it",
            hint="learn it from its demonstrations, and answer: "
            f"{command_line('trm', 'adapt', request.run, request.file or 'TASK.json', '--budget', '10m')}; "
            "--task NAME names one of the dataset's own",
        )
    slow = device.type == "cpu" and len(variants) > _MANY_VOTES
    observer.arc_task_found(name, len(wanted.tests), len(variants), slow=slow)
    batch_size = 64 if device.type == "cuda" else 4
    with observer.counting(len(variants) * len(wanted.tests), "augmented inputs") as advance:
        answers = solve_task(
            trained.model,
            identifiers,
            wanted,
            variants,
            device,
            steps=request.steps,
            batch_size=batch_size,
            progress=advance,
        )
    return ArcSolution(name, len(variants), answers, trained.checkpoint, trained.step)


def _dataset(trained: TrainedModel) -> Path:
    """Return the dataset that the puzzle table was trained on. Raises CheckpointError where it has changed."""
    from trm_cli.data.opening import data_fingerprint

    paths = trained.config.data_paths
    if trained.model.puzzle_embedding is None:
        raise UsageError(
            "this model has no puzzle table (puzzle_emb_ndim 0), so it cannot tell one ARC task from another"
        )
    if len(paths) > 1:
        raise UsageError(f"the run was trained on {len(paths)} datasets; solve reads runs on one")
    now, then = data_fingerprint(paths, "train"), trained.dataset_fingerprint
    if now != then:
        raise CheckpointError(
            f"{paths[0]} is not what the model was trained on: fingerprint {then[:12]} then, {now[:12]} now",
            hint="build it as it was (same flags and seed): the rows of the puzzle table would be those of other tasks",
        )
    return Path(paths[0])
