"""A run that starts from a file of another run: continued exactly, or its weights taken and that said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.support.boards import write_boards
from tests.support.runs import differing, prepare, train
from trm_cli.training.signals import StopRequest

TABLE = ("arch.num_heads=2", "arch.puzzle_emb_ndim=8", "arch.L_cycles=1", "arch.H_cycles=1")


@pytest.mark.parametrize(
    ("before", "now", "named"),
    [
        ("global_batch_size=8", "global_batch_size=10", "global_batch_size"),
        ("ema=false", "ema=true", "ema"),
        ("optimizer=adam_atan2", "optimizer=adamw", "optimizer"),
    ],
)
def test_settings_that_make_another_run_take_the_weights_alone_and_say_so(
    before: str, now: str, named: str, tmp_path: Path
) -> None:
    data = write_boards(tmp_path / "data", identifiers=4)
    first = train(data, tmp_path / "first", *TABLE, before, arch="trm_sudoku_att", stop_at_step=6)
    file = f"load_checkpoint={tmp_path / 'first/latest.pt'}"
    run, recorder = prepare(data, tmp_path / "second", *TABLE, now, file, arch="trm_sudoku_att")
    (told,) = recorder.notes
    assert f"was trained with another {named}: only its weights are loaded, and the run starts at step 0" in told
    assert (run.state.step, run.state.carry) == (0, None)
    assert differing(first.state.model.state_dict(), run.state.model.state_dict()) == []
    table = run.state.model.state_dict()["puzzle_embedding.weight"]
    assert not torch.equal(table[1], table[2]), "the rows of the table stay those of their puzzles"
    if run.state.ema is not None:
        average = first.state.model.state_dict() if first.state.ema is None else first.state.ema.state_dict()
        assert differing({name: average[name] for name in run.state.ema.state_dict()}, run.state.ema.state_dict()) == []
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=2)
    assert run.state.step == 2


def test_changed_settings_of_the_optimizer_count_from_the_next_update(tmp_path: Path) -> None:
    data = write_boards(tmp_path / "data")
    train(data, tmp_path / "run", stop_at_step=6)
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    same, changed = (
        train(data, tmp_path / name, *words, stop_at_step=7)
        for name, words in (("run", ()), ("other", ("weight_decay=5.0", "beta1=0.5", "beta2=0.9")))
    )
    (group,) = changed.state.trunk_optimizer.param_groups
    assert (group["weight_decay"], tuple(group["betas"])) == (5.0, (0.5, 0.9))
    assert changed.state.step == same.state.step == 7
    for name, value in same.state.model.state_dict().items():
        if value.abs().max() > 0 and name in dict(same.state.model.named_parameters()):
            assert not torch.equal(value, changed.state.model.state_dict()[name]), name
