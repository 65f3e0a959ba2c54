"""A checkpoint that an older trm wrote is loaded and continued; one of a newer trm gets a clear message."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.support.boards import write_boards
from tests.support.runs import differing, prepare, records, train
from trm_cli.config.compose import load_run_config
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_format import save_file
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.training.run.trained_model import load_trained
from trm_cli.training.state.state_migration import STATE_FORMAT, migrate

#: A run of 12 steps that trm 0.1.0 stopped after step 6, with format 1; and its dataset.
STORED = Path(__file__).parent / "data" / "format_1"


@pytest.fixture
def old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stored run, as a working directory of its own."""
    shutil.copytree(STORED, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work" / "run"


def test_a_run_of_format_1_goes_on(old_run: Path) -> None:
    stored = torch.load(old_run / "step_00000006.pt", weights_only=True)
    assert stored["format"] == 1
    config = load_run_config(old_run).config
    overrides = [f"{key}={value}" for key, value in config.arch.model_dump().items() if key not in ("family", "name")]
    words = [f"arch.{word}" for word in overrides] + ["global_batch_size=4", "epochs=3", "keep_checkpoints=1"]
    run, _ = prepare(Path("data"), Path("run"), *words, arch="trm_sudoku_att")
    assert run.state.step == 6
    loaded = run.state.state_dict()
    assert (loaded.pop("format"), loaded.pop("identifiers")["names"]) == (2, ["<blank>", "board-a", "board-b"])
    assert (loaded.pop("skipped"), loaded.pop("skipped_in_a_row")) == (0, 0)
    assert loaded.pop("best_score") == stored["best_exact_accuracy"]
    assert differing({key: stored[key] for key in loaded}, loaded) == []
    train(Path("data"), Path("run"), *words, arch="trm_sudoku_att")
    state, _ = load_checkpoint((old_run / "latest.pt").resolve())
    assert (state["step"], state["format"]) == (12, STATE_FORMAT)
    assert [record["step"] for record in records(old_run, "train")] == list(range(1, 13))


def test_a_model_of_format_1_is_used(old_run: Path) -> None:
    assert load_trained("run", torch.device("cpu")).step == 6


@pytest.mark.parametrize(
    ("version", "message"), [(STATE_FORMAT + 1, "reads formats up to"), (None, "unknown checkpoint format")]
)
def test_another_format_gets_a_message(old_run: Path, version: int | None, message: str) -> None:
    path = old_run / "step_00000006.pt"
    state, summary = load_checkpoint(path)
    save_file(path, {**state, "format": version}, summary)
    with pytest.raises(CheckpointError, match=message):
        load_trained("run", torch.device("cpu"))


def test_what_is_migrated_is_not_changed() -> None:
    state = {"format": 1, "step": 3, "best_exact_accuracy": 0.5}
    added = {"identifiers": None, "skipped": 0, "skipped_in_a_row": 0, "best_score": 0.5}
    assert migrate(state) == {"format": STATE_FORMAT, "step": 3, **added}
    assert state == {"format": 1, "step": 3, "best_exact_accuracy": 0.5}


@pytest.mark.parametrize("key", ["load_checkpoint", "init_from"])
def test_the_rows_of_the_table_move_by_name_to_other_data(key: str, tmp_path: Path) -> None:
    words = ("arch.num_heads=2", "arch.puzzle_emb_ndim=8", "arch.L_cycles=1", "arch.H_cycles=1")
    old, new = (write_boards(tmp_path / name, identifiers=count) for name, count in (("old", 4), ("new", 5)))
    (old / "identifiers.json").write_text('["<blank>", "a", "b", "c"]')
    (new / "identifiers.json").write_text('["<blank>", "b", "c", "new", "a"]')
    before = train(old, tmp_path / "before", *words, arch="trm_sudoku_att", stop_at_step=12)
    file = (tmp_path / "before/latest.pt").resolve()
    run, recorder = prepare(new, tmp_path / "after", *words, f"{key}={file}", arch="trm_sudoku_att")
    table, rows = (one.state.model.state_dict()["puzzle_embedding.weight"] for one in (before, run))
    assert not torch.equal(table[1], table[3])
    assert torch.equal(rows, torch.stack([table[0], table[2], table[3], table.mean(0), table[1]]))
    assert run.state.step == 0
    assert before.state.ema is not None
    assert run.state.ema is not None
    assert differing(before.state.ema.state_dict(), run.state.ema.state_dict()) == []
    assert "4 of 5 rows matched by name" in recorder.notes[1]


def test_rows_of_other_puzzles_are_not_kept_where_the_table_has_the_same_size(tmp_path: Path) -> None:
    words = ("arch.num_heads=2", "arch.puzzle_emb_ndim=8", "arch.L_cycles=1", "arch.H_cycles=1")
    old, new = (write_boards(tmp_path / name, identifiers=4, train=count) for name, count in (("old", 40), ("new", 48)))
    before = train(old, tmp_path / "before", *words, arch="trm_sudoku_att", stop_at_step=6)
    file = (tmp_path / "before/latest.pt").resolve()
    run, recorder = prepare(new, tmp_path / "after", *words, f"load_checkpoint={file}", arch="trm_sudoku_att")
    table, rows = (one.state.model.state_dict()["puzzle_embedding.weight"] for one in (before, run))
    assert not torch.equal(table[1], table[2])
    assert torch.equal(rows, table.mean(0).expand(4, -1)), "nothing says which puzzle a row stands for"
    assert "0 of 4 rows matched by name" in recorder.notes[1]


def test_on_the_same_data_a_file_is_continued_exactly(tmp_path: Path, dataset: Path) -> None:
    whole = train(dataset, tmp_path / "whole")
    train(dataset, tmp_path / "first", stop_at_step=12)
    file = (tmp_path / "first/latest.pt").resolve()
    second = train(dataset, tmp_path / "second", f"load_checkpoint={file}")
    assert differing(whole.state.state_dict(), second.state.state_dict()) == []


def test_on_the_same_data_only_weights_are_taken_where_a_run_begins_with_them(tmp_path: Path) -> None:
    data = write_boards(tmp_path / "data", identifiers=4)
    words = ("arch.num_heads=2", "arch.puzzle_emb_ndim=8", "arch.L_cycles=1", "arch.H_cycles=1")
    before = train(data, tmp_path / "before", *words, arch="trm_sudoku_att", stop_at_step=12)
    file = (tmp_path / "before/latest.pt").resolve()
    run, recorder = prepare(data, tmp_path / "after", *words, f"init_from={file}", arch="trm_sudoku_att")
    assert (run.state.step, run.state.best_step, run.state.carry) == (0, 0, None)
    assert not run.state.trunk_optimizer.state_dict()["state"]
    assert differing(before.state.model.state_dict(), run.state.model.state_dict()) == []
    assert recorder.notes == [
        f"{file} is where the run begins: only its weights are loaded, and the run starts at step 0"
    ]
