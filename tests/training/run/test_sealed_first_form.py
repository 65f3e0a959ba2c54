"""A checkpoint of the first form of multimodal_hesc ends with one message that names the last version that reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trm_cli.errors import CheckpointError, ExitCode
from trm_cli.training.run.sealed_config import sealed_config

FIRST_FORM = """
model: vision-unified
arch:
  name: multimodal_hesc
  family: hesc
  hidden_size: 1024
  canvas_size: 224
  patch_size: 14
"""


def test_a_checkpoint_of_the_first_form_names_the_last_version_that_reads_it() -> None:
    with pytest.raises(CheckpointError, match=r"first form .* trm 0\.1 is the last version") as error:
        sealed_config({"config": FIRST_FORM}, Path("step_000001.pt"))
    assert error.value.exit_code == ExitCode.CHECKPOINT == 4
