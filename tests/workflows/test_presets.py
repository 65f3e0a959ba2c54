"""Each preset's recipe builds a dataset without the hub and trains on it; the sizes are made small, nothing else."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.support.runs import Recorder, records
from tests.support.selection import slow_but
from trm_cli.config.compose import compose
from trm_cli.config.dataset_args import builder_flags
from trm_cli.config.dump import dump_config
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.run.datasets import Datasets
from trm_cli.training.run.run import Run
from trm_cli.training.signals import StopRequest

SMALL = (
    "arch.hidden_size=32", "arch.num_heads=2", "arch.expansion=1.0", "arch.H_cycles=2", "arch.L_cycles=2",
    "arch.halt_max_steps=2", "global_batch_size=4", "device=cpu", "threads=1", "wandb=disabled",
)  # fmt: skip
TEXT = ("--limit", "24", "--test-share", "0.3", "--seq-len", "48")
CAPSULES = ("arch.token_size=32", "arch.H_layers=1", "arch.picture_size=28")
LESS = {
    "text-optimized": (TEXT, ()),
    "code-optimized": (TEXT, ()),
    "arc-optimized": (("--limit", "6", "--num-aug", "2"), ("arch.puzzle_emb_ndim=32",)),
    "vision-optimized": (("--limits", "pictures=80"), CAPSULES),
    "trm-unified": (
        ("--limit", "40", "--limits", "--weights", "--test-share", "0.3"),
        (*CAPSULES, "arch.board_side=12", "arch.puzzle_emb_ndim=32"),
    ),
}


@pytest.mark.parametrize("model", slow_but(LESS, *(LESS.keys() - {"code-optimized"})))
def test_a_preset_trains_on_its_dataset(model: str, tmp_path: Path) -> None:
    flags, settings = LESS[model]
    words = [*SMALL, *settings, f"data_paths=[{tmp_path / 'data'}]", f"checkpoint_path={tmp_path / 'run'}"]
    resolved = compose(model, [*words, "epochs=2", "eval_interval=2"])
    entry, config = resolved.registry, resolved.config
    assert entry is not None
    assert config.arch.name == model.replace("-", "_")
    builder = import_module(f"dataset_builders.{Path(entry.dataset_builder).stem}")
    assert builder.main([*builder_flags(entry.dataset_args), *flags, "--workers", "1"]) == 0
    datasets, recorder = Datasets.open(config), Recorder()
    machine = Machine.choose(config, datasets.train.metadata.seq_len)
    run = Run.prepare(config, dump_config(resolved), datasets, machine, recorder.note)
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=2)
    logged = records(tmp_path / "run", "train")
    assert len(logged) == 2 and all(0 < record["loss"] < 100 for record in logged)
    assert getattr(config.arch, "causal", False) == (model in ("text-optimized", "code-optimized"))
