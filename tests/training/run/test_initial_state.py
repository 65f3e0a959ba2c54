"""A run that starts from a file of another run: continued exactly, or its weights taken and that said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.support.boards import write_boards
from tests.support.runs import differing, prepare, train
from trm_cli.errors import ConfigError
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


def test_frozen_weights_stay_those_of_the_average_and_the_table_learns(tmp_path: Path) -> None:
    data = write_boards(tmp_path / "data", identifiers=4)
    first = train(data, tmp_path / "first", *TABLE, arch="trm_sudoku_att", stop_at_step=6)
    assert first.state.ema is not None
    words = (*TABLE, f"init_from={tmp_path / 'first/latest.pt'}", "freeze_weights=true", "lr_warmup_ratio=0")
    frozen = train(data, tmp_path / "frozen", *words, arch="trm_sudoku_att", stop_at_step=4)
    weights, average = frozen.state.model.state_dict(), first.state.ema.state_dict()
    assert differing(average, {name: weights[name] for name in average}) == []
    assert frozen.state.ema is not None and differing(average, frozen.state.ema.state_dict()) == []
    assert frozen.state.trunk_optimizer.state_dict()["state"] == {}
    before, after = (run.state.table for run in (first, frozen))
    assert before is not None and after is not None and not torch.equal(before, after)
    whole = train(data, tmp_path / "frozen", *words, arch="trm_sudoku_att", stop_at_step=8)
    once = train(data, tmp_path / "once", *words, arch="trm_sudoku_att", stop_at_step=8)
    assert differing(whole.state.state_dict(), once.state.state_dict()) == [], "continued to the bit"


@pytest.mark.parametrize("words", [("arch.puzzle_emb_ndim=0", "arch.puzzle_emb_len=0"), ("sharding=fsdp",)])
def test_frozen_weights_need_a_table_in_one_piece(words: tuple[str, ...], tmp_path: Path) -> None:
    data = write_boards(tmp_path / "data")
    with pytest.raises(ConfigError) as refused:
        prepare(data, tmp_path / "run", *TABLE, "freeze_weights=true", *words, arch="trm_sudoku_att")
    assert [problem.key for problem in refused.value.problems] == ["freeze_weights"]


@pytest.mark.parametrize("init", ["mean", "zero"])
def test_rows_of_unknown_puzzles_begin_with_the_mean_or_zero(init: str, tmp_path: Path) -> None:
    first = train(
        write_boards(tmp_path / "data", identifiers=4), tmp_path / "run", *TABLE, arch="trm_sudoku_att", stop_at_step=6
    )
    words = (*TABLE, f"init_from={tmp_path / 'run/latest.pt'}", f"puzzle_emb_init={init}")
    more = write_boards(tmp_path / "more", identifiers=9)
    run, recorder = prepare(more, tmp_path / "new", *words, arch="trm_sudoku_att")
    (told,) = (note for note in recorder.notes if "puzzle table" in note)
    assert told.endswith("with zeros" if init == "zero" else "from the mean of all")
    assert first.state.table is not None and run.state.table is not None
    mean = first.state.table.mean(0)
    assert torch.equal(run.state.table, (mean * (init == "mean")).expand(9, -1))
