"""Read weights that `trm checkpoints export` wrote as safetensors, in the form of a checkpoint at their step.

They have neither moments nor a carry: enough to use the model, or to begin a run with (`init_from`). What the rows of a
puzzle table stand for is there as well: two tensors, and the names of the puzzles in the metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trm_cli.data.files.json_file import parse_json
from trm_cli.errors import CheckpointError
from trm_cli.paths import is_file
from trm_cli.training.hub import as_published
from trm_cli.training.run_files import FACTS, WEIGHTS

SUFFIX = ".safetensors"
#: Before the names of the tensors that say what the rows of the table stand for, int [N]: `owners`, `codes`.
ROWS = "identifiers."
#: The names of the puzzles in the metadata, as JSON.
PUZZLES = "identifiers"
_FACTS = ("run", "trm", "config")


def is_exported(path: Path) -> bool:
    """Whether a file is one of these, by its name."""
    return path.suffix == SUFFIX


def exported_summary(path: Path) -> dict[str, Any]:
    """What a checkpoint's summary says, from the metadata of the file. Raises CheckpointError."""
    facts = _read(path, tensors=False)[1]
    try:
        known = {name: facts[name] for name in _FACTS}
        numbers = {"step": int(facts["step"]), "threads": int(facts.get("threads", 1))}
        return {**known, **numbers, "weights": facts.get("weights", "raw"), "dataset": _json(facts["dataset"], path)}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not say with which settings it was trained",
            hint="trm checkpoints import FILE --arch NAME --dataset DIR makes a run of weights of other programs",
        ) from error


def load_exported(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights as the state of a run that has only them, and the summary. Raises CheckpointError."""
    from trm_cli.training.state.state_migration import STATE_FORMAT

    if path.name == WEIGHTS and not as_published(path):
        hint = f"download the model again, or use the copy that {path.parent} was made from"
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one in {FACTS}", hint=hint)
    summary = exported_summary(path)
    tensors, facts = _read(path, tensors=True)
    try:
        tied = dict(_json(facts.get("tied", "{}"), path))
        model = {**tensors, **{name: tensors[first] for name, first in tied.items()}}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: its list of tied weights cannot be read") from error
    counts = dict.fromkeys(("evaluated_step", "best_step", "skipped", "skipped_in_a_row"), 0)
    nothing = dict.fromkeys(("ema", "scaler", "carry"))
    state = {"format": STATE_FORMAT, "step": summary["step"], "best_score": -1.0, **counts, **nothing}
    rows = {name.removeprefix(ROWS): model.pop(name) for name in [*model] if name.startswith(ROWS)}
    named = {"names": _json(facts[PUZZLES], path), **rows} if PUZZLES in facts else None
    return {**state, "identifiers": named, "model": model, "trunk_optimizer": {}, "sums": {}}, summary


def _json(text: str, path: Path) -> Any:
    return parse_json(text, f"{path}: its metadata", error=CheckpointError)


def _read(path: Path, *, tensors: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Tensors by name (none unless wanted), and the metadata."""
    if not is_file(path):
        raise CheckpointError(f"{path} does not exist")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()} if tensors else {}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}", hint="export the weights again") from error
