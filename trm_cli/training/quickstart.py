"""Which model a newcomer's machine trains, and which puzzle is shown afterwards."""

from __future__ import annotations

from trm_cli.data.puzzle_dataset import open_dataset
from trm_cli.evaluation.solving import solve
from trm_cli.training.devices import Choice, available_cores
from trm_cli.training.inference import TrainedModel

ON_CPU = "sudoku-4x4"
ON_CUDA = "vision-unified"
_LOOKED_AT = 50


def choose_model() -> Choice:
    """The quick-start puzzle on a CPU, the flagship on a CUDA device; the reason says how to get the other."""
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        return Choice(ON_CUDA, f"this machine has a CUDA device ({name}); the puzzle instead: trm train {ON_CPU}")
    cores = available_cores()
    return Choice(
        ON_CPU, f"no CUDA device here, {cores} CPU cores; the flagship instead: trm train {ON_CUDA} (wants a GPU)"
    )


def held_out_puzzle(trained: TrainedModel) -> list[int]:
    """A test puzzle whose answer took the model more than one step, so that there is something to see."""
    import torch

    paths = trained.config.data_paths_test or trained.config.data_paths
    batch = next(open_dataset(paths, "test").eval_batches(_LOOKED_AT))
    device = next(trained.model.parameters()).device
    longest, shown = -1, list(batch["inputs"][0])
    for puzzle, solution in zip(batch["inputs"], batch["labels"], strict=True):
        thoughts = solve(trained.model, puzzle.tolist(), torch.device(device))
        settled = next((one.step for one in thoughts if one.answer == thoughts[-1].answer), 0)
        if list(thoughts[-1].answer) == solution.tolist() and settled > longest:
            longest, shown = settled, puzzle.tolist()
    return [int(token) for token in shown]
