"""Command lines as the repositories of TRM and HRM publish them: accepted, or told what to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import trm_here

#: From the README of TinyRecursiveModels (Sudoku-Extreme) and HRM, without the launcher.
TRM = [
    "arch=trm", "data_paths=[data/sudoku-extreme-1k-aug-1000]", "evaluators=[]", "epochs=50000", "eval_interval=5000",
    "lr=1e-4", "puzzle_emb_lr=1e-4", "weight_decay=1.0", "puzzle_emb_weight_decay=1.0", "arch.mlp_t=True",
    "arch.pos_encodings=none", "arch.L_layers=2", "arch.H_cycles=3", "arch.L_cycles=6", "+run_name=pretrain_mlp_t",
    "ema=True",
]  # fmt: skip
HRM = [
    "arch=hrm", "data_path=data/sudoku-extreme-1k-aug-1000", "epochs=20000", "eval_interval=2000",
    "global_batch_size=384", "lr=7e-5", "puzzle_emb_lr=7e-5", "weight_decay=1.0", "puzzle_emb_weight_decay=1.0",
]  # fmt: skip


def config(tmp_path: Path, *words: str) -> dict[str, object]:
    done = trm_here("configs", "show", *words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["config"])


def test_published_command_lines_are_taken_as_they_are(tmp_path: Path) -> None:
    found = config(tmp_path, *TRM)
    assert found["checkpoint_path"] == "checkpoints/pretrain_mlp_t"
    assert found["data_paths"] == ["data/sudoku-extreme-1k-aug-1000"]
    assert config(tmp_path, *HRM)["data_paths"] == ["data/sudoku-extreme-1k-aug-1000"]


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("+project_name=mine", "wandb_project", "mine"),
        ("run_name=one", "checkpoint_path", "checkpoints/one"),
        ("arch.forward_dtype=bfloat16", "precision", "bfloat16"),
        ("evaluators=[]", None, None),
        ("freeze_weights=False", "freeze_weights", False),
        ("min_eval_interval=0", None, None),
        ("checkpoint_every_eval=True", None, None),
        ("eval_save_outputs=[]", None, None),
        ("arch.loss.name=losses@ACTLossHead", None, None),
        ("arch.loss.loss_type=stablemax_cross_entropy", None, None),
    ],
)
def test_words_that_mean_what_we_have(word: str, key: str | None, value: object, tmp_path: Path) -> None:
    found = config(tmp_path, "sudoku-4x4", word)
    assert found == {**config(tmp_path, "sudoku-4x4"), **({key: value} if key else {})}


def test_a_directory_is_preferred_to_a_name(tmp_path: Path) -> None:
    for words in (["checkpoint_path=here", "+run_name=x"], ["+run_name=x", "checkpoint_path=here"]):
        assert config(tmp_path, "sudoku-4x4", *words)["checkpoint_path"] == "here"


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("evaluators=[{name: arc@ARC}]", "leave it out: `trm evaluate RUN`"),
        ("min_eval_interval=5", "write eval_interval=EPOCHS"),
        ("checkpoint_every_eval=False", "write checkpoint_interval=EPOCHS"),
        ("arch.loss.loss_type=softmax_cross_entropy", "leave it out"),
        ("arch.loss={name: x}", "leave it out"),
    ],
)
def test_words_that_we_have_otherwise_say_what_to_write(word: str, advice: str, tmp_path: Path) -> None:
    done = trm_here("configs", "show", "sudoku-4x4", word, cwd=tmp_path)
    assert done.returncode == 2
    assert advice in done.stderr
    assert "did you mean" not in done.stderr


def test_the_same_in_a_file(tmp_path: Path) -> None:
    done = trm_here("configs", "show", "sudoku-4x4", cwd=tmp_path)
    shipped = (Path(__file__).parents[2] / "configs/models/sudoku-4x4.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(shipped + "  project_name: x\n  checkpoint_every_eval: false\n")
    done = trm_here("configs", "validate", "mine.yaml", cwd=tmp_path)
    assert "here it is called `wandb_project`" in done.stderr + done.stdout
    assert "write checkpoint_interval=EPOCHS" in done.stderr + done.stdout
