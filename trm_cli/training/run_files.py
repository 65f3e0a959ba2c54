"""The names of the files in a run directory, and the identity of the run that one of them holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trm_cli.data.files.json_file import read_json
from trm_cli.errors import CheckpointError
from trm_cli.paths import is_file

#: The folder of runs that are called by their names.
RUNS = Path("checkpoints")

CONFIG = "config.yaml"
PLAN = "plan.json"
IDENTITY = "run.json"
METRICS = "metrics.jsonl"
TIMINGS = "timings.jsonl"
#: Lines of either that could not be read.
DAMAGED_LINES = "*.damaged.jsonl"
OLD_ESTIMATE = "memory.json"  # of earlier versions; nothing reads it
NONFINITE = "nonfinite-*.pt"
#: A trace of a few updates, and a table of its operators.
PROFILE = "profile"
PROFILE_TRACE = "trace.json.gz"
PROFILE_OPERATORS = "operators.txt"
#: The folder of `trm evaluate`: below it a folder for each evaluation.
EVALUATIONS = "evaluations"
#: Links to the newest and to the best checkpoint.
LATEST = "latest.pt"
BEST = "best.pt"
#: The folder of checkpoints that `trm resume --from STEP` has set aside.
DISCARDED = "discarded"

#: The files of a published model, which is weights without a run: they, their facts, what was measured, the card.
WEIGHTS = "model.safetensors"
FACTS = "config.json"
MEASURED = "evaluations.json"
CARD = "README.md"


def is_run(path: Path) -> bool:
    """Whether a directory holds a run: its configuration or, where that is lost, its identity and a checkpoint."""
    return is_file(path / CONFIG) or (is_file(path / IDENTITY) and any(path.glob("step_*.pt")))


def is_published(path: Path) -> bool:
    """Whether a directory holds a published model, and no run."""
    return is_file(path / WEIGHTS) and not is_run(path)


def read_identity(run: Path) -> dict[str, Any]:
    """Read the run's id, its dataset and its CPU threads. Raises CheckpointError when the file is damaged."""
    path = run / IDENTITY
    try:
        identity = read_json(path, error=CheckpointError)
        return {"run": str(identity["run"]), "dataset": dict(identity["dataset"]), "threads": int(identity["threads"])}
    except (CheckpointError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is missing or damaged: not a valid run directory") from error
