"""The result of an adaptation as a document: what was learned, what is answered, and what is right if it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trm_cli.workflows.adapt.answers.submission import scores, voted_inputs
from trm_cli.workflows.adapt.directory import PROGRESS, AdaptDirectory

if TYPE_CHECKING:
    from trm_cli.data.arc.challenges import Challenges
    from trm_cli.workflows.adapt.answers.voting import Vote
    from trm_cli.workflows.adapt.settings import Source


def result_document(home: AdaptDirectory, source: Source, challenges: Challenges, cast: Vote | None) -> dict[str, Any]:
    """All but the place of the submission and the time. cast: None where nobody has voted."""
    progress = home.read(PROGRESS)
    voted = voted_inputs(challenges, None if cast is None else cast.ballot)
    step = int(source.sealed.summary.get("step", 0))
    return {
        "run": str(home.path),
        "submission": "",
        "source": {"checkpoint": str(source.sealed.checkpoint), "step": step},
        "tasks": len(challenges.tasks),
        "damaged": {task.name: list(task.faults) for task in challenges.tasks if task.faults},
        "test_inputs": len(voted),
        "answered": sum(bool(one.ranked) for one in voted),
        "updates": _updates(home, progress),
        "left_out": progress.get("left_out", {}),
        "learned": {at: len(tasks) for at, tasks in progress.get("learned", {}).items()},
        "votes": 0 if cast is None else cast.rows,
        "all_votes": cast is not None and cast.complete,
        "scores": scores(voted) if cast is not None else None,
    }


def _updates(home: AdaptDirectory, progress: dict[str, Any]) -> int:
    """Updates that are learned: as noted, or after a kill those of the newest checkpoint."""
    from trm_cli.training.run.sealed_config import newest_sealed

    noted = progress.get("step")
    newest = newest_sealed(home.path, verified=False) if noted is None else None
    return int(noted or (newest.step if newest else 0))
