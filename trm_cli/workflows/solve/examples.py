"""A few puzzles to begin with: of the test set of a model, or of those that were published with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trm_cli.errors import CheckpointError, TrmError
from trm_cli.training.run_files import FACTS, is_published

if TYPE_CHECKING:
    from pathlib import Path

    from trm_cli.config.schema import RunConfig
    from trm_cli.data.files.metadata import DatasetMetadata

#: How many.
_EXAMPLES = 8


def example_puzzles(config: RunConfig, metadata: DatasetMetadata, folder: Path) -> list[str]:
    """Sudoku boards or mazes in one line each; none for other data, and where there are none.

    folder: that of the model's weights.
    """
    from trm_cli.data.puzzles.dataset import open_dataset
    from trm_cli.data.puzzles.kinds import kind_of

    family = None if config.board_side is not None else kind_of(metadata).typed(metadata)
    if family is None:
        return []
    try:
        arrays = next(open_dataset(config.data_paths_test or config.data_paths, "test").eval_batches(_EXAMPLES))
    except (TrmError, OSError, StopIteration):
        return _published_examples(folder)
    return [family.line(row.tolist()) for row, valid in zip(arrays["inputs"], arrays["valid"], strict=True) if valid]


def _published_examples(folder: Path) -> list[str]:
    from trm_cli.data.files.json_file import read_json

    if not is_published(folder):
        return []
    facts = read_json(folder / FACTS, error=CheckpointError)
    return [str(line) for line in facts.get("examples", ())]
