"""Train multimodal_hesc at full size for a few real updates of one row, and save, load and average it.

    python -m benchmarks.speed.full_size --out D [--threads N]

Prints one JSON document: of each update its kind of row, whether its numbers were finite, and seconds; the parameters
that had no gradient in any; and for updates, averaging, saving and loading the seconds and the most memory that the
process ever occupied meanwhile.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.speed.memory import peak

if TYPE_CHECKING:
    import torch

    from trm_cli.data.stream.shape import StreamShape

#: Kinds of the updates (0 grid, 1 text, 2 picture): a row of each, and grids for what the Q-network learns from.
KINDS = (0, 1, 2, 0, 0)


def batch_of(shape: StreamShape, kind: int, seed: int) -> dict[str, torch.Tensor]:
    """A row of random symbols: a board of 30x30 cells with three demonstrations of 10x10, a text, a picture."""
    import numpy as np
    import torch

    from trm_cli.data.files.metadata import IGNORED_LABEL
    from trm_cli.data.stream.blank import blank_rows
    from trm_cli.data.stream.vocabulary import FIRST_BYTE, FIRST_COLOUR, FIRST_CONTROL, FIRST_LABEL

    rng = np.random.default_rng(seed)
    batch = blank_rows(shape, kind, 1, pair_side=10)
    fields = [name for name in ("cells", "pair_cells") if name in batch]
    for name in fields:
        batch[name] = rng.integers(1, 11, batch[name].shape, dtype=np.uint8)
    if kind == 1:
        batch["text"] = rng.integers(FIRST_BYTE, FIRST_CONTROL, batch["text"].shape, dtype=np.int32)
    if kind == 2:
        batch["picture"] = rng.integers(0, 256, batch["picture"].shape, dtype=np.uint8)
    asked, first = batch["target"] != IGNORED_LABEL, (FIRST_COLOUR, FIRST_BYTE, FIRST_LABEL)[kind]
    batch["target"][asked] = first + rng.integers(0, 10, int(asked.sum()))
    whole = {name: np.zeros((1, *value.shape[1:]), value.dtype) for name, value in _fields(shape).items()}
    return {name: torch.as_tensor(value) for name, value in {**whole, **batch}.items()}


def _fields(shape: StreamShape) -> dict[str, Any]:
    from trm_cli.data.stream.blank import blank_rows

    return {name: value for kind in (0, 1, 2) for name, value in blank_rows(shape, kind, 1, pair_side=10).items()}


@contextmanager
def phase(name: str, found: dict[str, Any]) -> Iterator[None]:
    """Note the seconds and the peak memory of what is done within, in GB."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    started = time.perf_counter()
    yield
    found[name] = {"seconds": round(time.perf_counter() - started, 1), "peak_gb": round(peak() * 2**20 / 1e9, 2)}


def measure(out: Path, threads: int) -> dict[str, Any]:
    """Everything, in this process."""
    from trm_cli.training.hardware.torch_runtime import prepare_threads, set_threads

    prepare_threads()
    import torch

    from benchmarks.inputs.made_up import made_up_metadata
    from trm_cli.config.compose import compose
    from trm_cli.data.stream.shape import StreamShape
    from trm_cli.schedule.clock import SETTLED
    from trm_cli.training.checkpoint.checkpoint_format import load_file, save_file
    from trm_cli.training.hardware.machine import Machine
    from trm_cli.training.run.build import make_model, make_state
    from trm_cli.training.step import StepSettings, update

    words = ["arch=multimodal_hesc", "arch.replay_min_size=1", "global_batch_size=1", "device=cpu", "precision=float32"]
    config = compose("vision-unified", words).config
    shape = StreamShape(30, 512, (3, 32), tuple(map(str, range(46))), 3)
    metadata = made_up_metadata(shape.target_length, shape.vocab_size, 100)
    set_threads(threads)
    found: dict[str, Any] = {"threads": threads, "updates": []}
    with phase("build", found):
        model = make_model(config, metadata, "float32")
        state = make_state(config, model, Machine.choose(config, metadata.seq_len))
    missing = {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        parameter.register_post_accumulate_grad_hook(partial(_seen, name, missing))
    clock = replace(SETTLED, epsilon=1.0, lr=1e-4, puzzle_emb_lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    with phase("training", found):
        for number, kind in enumerate(KINDS):
            started, draws = time.perf_counter(), torch.rand(1, model.draws_per_row, generator=generator)
            settings = StepSettings(1, config.grad_clip, config.micro_batch_size)
            if number and KINDS[number - 1] != kind:
                state.carry = None  # a row would go on with what it is
            skipped = update(state, batch_of(shape, kind, number), draws, clock, settings)
            seconds = round(time.perf_counter() - started, 1)
            found["updates"].append({"kind": kind, "finite": skipped is None, "seconds": seconds})
    found["finite"] = all(bool(one.isfinite().all()) for one in model.parameters())
    found["without_gradient"] = sorted(missing)
    assert state.ema is not None
    with phase("average for an evaluation", found), state.ema.swapped():
        pass
    file = out / "full_size.pt"
    with phase("save", found):
        save_file(file, state.state_dict(), {"step": len(KINDS)})
    found["file_gb"] = round(file.stat().st_size / 1e9, 2)
    del state, model
    with phase("load", found):
        loaded, _ = load_file(file)
        fresh = make_state(config, make_model(config, metadata, "float32"), Machine.choose(config, metadata.seq_len))
        fresh.load_state_dict(loaded, torch.device("cpu"))
    file.unlink()
    return found


def _seen(name: str, missing: set[str], parameter: torch.Tensor) -> None:
    if parameter.grad is not None and bool(parameter.grad.to_dense().any()):
        missing.discard(name)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder with room for 3 GB")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(json.dumps(measure(options.out, options.threads), indent=2))


if __name__ == "__main__":
    main()
