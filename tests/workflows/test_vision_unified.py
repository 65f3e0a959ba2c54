"""`trm train vision-unified` on a fresh machine without a GPU and without the hub, from nothing to the end."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import trm
from tests.support.runs import records
from tests.support.streams import ROOT

#: The smallest share of its dataset with puzzles and stories in both splits; nothing else of the recipe is changed.
LESS = "limits: [tinystories=80, kaggle/combined=4, pictures=60]"


def train(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Train the small flagship on a fresh machine: nothing is built, and the hub is not there."""
    recipe = (ROOT / "configs" / "models" / "vision-unified.yaml").read_text()
    assert "limits: [tinystories=13000]" in recipe
    (folder / "configs" / "models").mkdir(parents=True)
    own = folder / "configs" / "models" / "vision-unified.yaml"
    own.write_text(recipe.replace("limits: [tinystories=13000]", LESS))
    line = ["train", "vision-unified", "--arch", "multimodal_hesc_mini", "--device", "cpu", "--wandb", "disabled"]
    few = ["epochs=1", "eval_interval=1", "global_batch_size=16", "threads=1", "checkpoint_path=run", *words]
    done = trm(*line, *few, cwd=folder, HF_HOME=str(folder / "hf"))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "SAMPLE stories" in done.stderr, "a stand-in is told"
    return done


@pytest.mark.slow
def test_the_small_flagship_trains(tmp_path: Path) -> None:
    train(tmp_path, "--stop-at-step", "2", "global_batch_size=4")
    assert [record["step"] for record in records(tmp_path / "run", "train")] == [1, 2]
    assert (tmp_path / "run" / "latest.pt").exists()


@pytest.mark.slow
def test_the_small_flagship_trains_to_its_end(tmp_path: Path) -> None:
    done = train(tmp_path)
    done_steps = re.search(r"done: ([\d,]+) steps", done.stdout)
    assert done_steps is not None
    steps = int(done_steps[1].replace(",", ""))
    logged = records(tmp_path / "run", "train")
    assert [record["step"] for record in logged] == list(range(1, steps + 1))
    (judged,) = records(tmp_path / "run", "eval")
    assert (
        judged["judged_by"] == "exact_accuracy" and judged["count"] and judged["text_rows"] and judged["picture_rows"]
    )
    assert 0 < judged["bits_per_byte"] < 20
    assert (tmp_path / "run" / "latest.pt").exists() and (tmp_path / "run" / "best.pt").exists()
