"""A model whose builder waits in front of its second training chunk until the test lets it go on, or fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

# The real builder, held up or ended after the first training chunk by files that the test makes.
BUILDER = """\
import sys, time
from pathlib import Path
from dataset_builders import streaming_builder

here = Path(__file__).parent

def hold():
    from dataset_builders.lib.stream.build import StreamBuild

    join, seal = StreamBuild._join, StreamBuild.seal

    def held(self, chunk):
        if chunk.split == "train" and chunk.number == 1:
            (here / "first").touch()
            while not any((here / name).exists() for name in ("go", "fail")):
                time.sleep(0.01)
            if (here / "fail").exists():
                (here / "fail").unlink()
                raise OSError(28, "No space left on device")
        join(self, chunk)

    def held_at_the_end(self, names):
        while (here / "hold the seal").exists():
            time.sleep(0.01)
        seal(self, names)

    StreamBuild._join, StreamBuild.seal = held, held_at_the_end

if "--plan" not in sys.argv:  # a plan is made without torch
    hold()
sys.exit(streaming_builder.main())
"""

MODEL = """\
title: "Held"
config: cfg_pretrain
architecture: multimodal_hesc_mini
dataset_builder: {builder}
dataset_args:
  output_dir: data
  sources: [stories, kaggle/combined]
  limits: [stories=140, kaggle/combined=3]
  text_window: 256
  test_share: 0.02
  batch_records: 2
  workers: 1
checkpoint_path: run
overrides:
  global_batch_size: 16
  epochs: 1
  threads: 1
  device: cpu
  wandb: disabled
  checkpoint_interval: 1
  arch: {{hidden_size: 32, token_size: 16, num_heads: 2, L_layers: 1, text_layers: 1, puzzle_emb_ndim: 32,
    halt_max_steps: 2, board_side: 8, pair_slots: 2}}
"""


def prepare_folder(folder: Path) -> Path:
    """Write the model `held.yaml` and its builder: a file `go` lets it build the rest, `fail` makes it fail."""
    (folder / "builder.py").write_text(BUILDER)
    (folder / "configs" / "models").mkdir(parents=True)
    (folder / "configs" / "models" / "held.yaml").write_text(MODEL.format(builder="builder.py"))
    return folder


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that will happen."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
