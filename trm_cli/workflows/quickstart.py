"""Choose the model that `trm quickstart` trains on this machine, and the test puzzle that it shows afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.training.hardware.devices import Choice, cores_in_words

if TYPE_CHECKING:
    from trm_cli.training.run.trained_model import TrainedModel
    from trm_cli.workflows.solve.solve import PuzzleSolution

ON_CPU = "sudoku-4x4"
ON_CUDA = "vision-unified"
_LOOKED_AT = 500


def choose_model() -> Choice:
    """The quick-start puzzle on a CPU, the flagship on a CUDA device; the reason says how to get the other."""
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        return Choice(ON_CUDA, f"this machine has a CUDA device ({name}); the puzzle instead: trm train {ON_CPU}")
    here = f"no CUDA device here, {cores_in_words()}"
    return Choice(ON_CPU, f"{here}; the flagship instead: trm train {ON_CUDA} (needs a GPU)")


def solve_held_out(run: str) -> PuzzleSolution | None:
    """A puzzle of the test split and the model's answer to it; None for a run on anything but Sudoku."""
    import torch

    from trm_cli.data.puzzles.families import Sudoku
    from trm_cli.data.puzzles.kinds import kind_of
    from trm_cli.training.run.sealed_config import load_run
    from trm_cli.training.run.trained_model import load_trained
    from trm_cli.workflows.solve.solve import solve_puzzle

    if load_run(Path(run)).config.board_side is not None:
        return None
    device = torch.device("cpu")
    trained = load_trained(run, device)
    family = kind_of(trained.metadata).typed(trained.metadata)
    if not isinstance(family, Sudoku):
        return None
    return solve_puzzle(trained, held_out_puzzle(trained), family, device)


def held_out_puzzle(trained: TrainedModel) -> list[int]:
    """Return the test puzzle that the model solves with the most changes of its answer."""
    import torch

    from trm_cli.data.puzzles.dataset import open_dataset
    from trm_cli.models.thinking import think

    paths = trained.config.data_paths_test or trained.config.data_paths
    arrays = next(open_dataset(paths, "test").eval_batches(_LOOKED_AT))
    valid = torch.from_numpy(arrays.pop("valid"))
    batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
    answers = [trained.model.answer(step.outputs) for step in think(trained.model, batch)]
    solved = valid & (answers[-1] == batch["labels"]).all(-1)
    changes = torch.stack([(one != answers[-1]).any(-1) for one in answers]).sum(0)
    chosen = int(torch.where(solved, changes, -1).argmax())
    return [int(token) for token in batch["inputs"][chosen]]
