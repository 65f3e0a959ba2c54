"""Checkpoints with a right checksum and wrong content: an error with the place, and the one before is used."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file as save_safetensors

from tests.support.boards import write_boards
from tests.support.commands import trm_here
from tests.support.runs import TINY_RUN, train
from tests.support.wrong_content import write_wrong, wrong_states
from trm_cli.errors import TrmError
from trm_cli.training.checkpoint.checkpoint_format import save_file
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.training.checkpoint.store import CheckpointStore

NAN = float("nan")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and a run with checkpoints of the steps 5 and 10."""
    root = tmp_path_factory.mktemp("wrong")
    train(write_boards(root / "data", identifiers=3), root / "run", "arch.puzzle_emb_ndim=16", stop_at_step=10)
    return root


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder / "run", tmp_path / "run", symlinks=True)
    return tmp_path / "run"


def rewrite(run: Path, change: Any, *, step: int = 10) -> None:
    resealed(CheckpointStore(run).path(step), change)


def resealed(path: Path, change: Any) -> None:
    state, summary = load_checkpoint(path)
    change(state, summary)
    save_file(path, state, summary)


CHANGES = {
    "step, text": lambda s, _: s.update(step="ten"),
    "step, nan": lambda s, _: s.update(step=NAN),
    "best_score, nan": lambda s, _: s.update(best_score=NAN),
    "model, none": lambda s, _: s.update(model=None),
    "model, empty": lambda s, _: s.update(model={}),
    "model, more": lambda s, _: s["model"].update(more=torch.zeros(2)),
    "model, less": lambda s, _: s["model"].pop("q_head.bias"),
    "model, shape": lambda s, _: s["model"].update({"q_head.bias": torch.zeros(3)}),
    "model, repeated": lambda s, _: s["model"].update({"q_head.bias": torch.zeros(1).expand(1 << 40)}),
    "ema, repeated": lambda s, _: s["ema"].update({"q_head.bias": torch.zeros(1).expand(1 << 40)}),
    "ema, none": lambda s, _: s.update(ema=None),
    "moments, shape": lambda s, _: s["trunk_optimizer"]["state"][0].update(exp_avg=torch.zeros(3)),
    "moments, step": lambda s, _: s["trunk_optimizer"]["state"][0].update(step=NAN),
    "groups": lambda s, _: s["trunk_optimizer"].update(param_groups=[{}]),
    "carry, short": lambda s, _: s["carry"].update(steps=s["carry"]["steps"][:-1]),
    "carry, all short": lambda s, _: s["carry"].update(
        {name: {k: v[:-1] for k, v in s["carry"][name].items()} for name in ("z", "data")}
    ),
    "carry, puzzles": lambda s, _: s["carry"]["data"]["puzzle_identifiers"].fill_(99),
    "carry, tokens": lambda s, _: s["carry"]["data"]["inputs"].fill_(-3),
    "carry, labels": lambda s, _: s["carry"]["data"]["labels"].fill_(1_000_000),
    "step, no number": lambda s, _: s.update(step=torch.tensor([])),
    "scaler, left out": lambda s, _: s.pop("scaler"),
    "sums": lambda s, _: s["sums"].update(updates="many"),
    "identifiers": lambda s, _: s.update(identifiers={"names": 3}),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_one_before_is_used_and_the_fault_is_told(run: Path, change: Any) -> None:
    rewrite(run, change)
    done = trm_here("resume", str(run), "--stop-at-step", "6", cwd=run.parent)
    told = " ".join(done.stderr.split())
    assert done.returncode == 0, told
    assert "step_00000010.pt" in told
    assert "continuing from step 5" in told


def test_where_none_is_left_it_ends_with_4(run: Path) -> None:
    for step in (5, 10):
        rewrite(run, CHANGES["model, empty"], step=step)
    for line in (("resume", str(run)), ("evaluate", str(run)), ("checkpoints", "export", str(run), "--out", "w.st")):
        done = trm_here(*line, cwd=run.parent)
        assert done.returncode == 4, (line, done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "parts", [[[float("inf"), "x"]], [[1, None]], [[True, "x"]], [["1", "x"]], [[1]], [[]], [1], "x", {"a": 1}, None]
)
def test_a_list_of_shards_that_is_none(run: Path, parts: Any) -> None:
    rewrite(run, lambda _, summary: summary.update(parts={"save": "abc", "files": parts}))
    done = trm_here("checkpoints", "list", str(run), "--json", cwd=run.parent)
    assert (done.returncode, '"problem": null' in done.stdout) == (0, True), done.stderr  # that of step 5
    assert "its list of shards is not readable" in done.stdout
    done = trm_here("resume", str(run), "--stop-at-step", "6", cwd=run.parent)
    assert (done.returncode, "continuing from step 5" in done.stderr) == (0, True), done.stderr


def test_whatever_a_sealed_checkpoint_holds_there_is_no_traceback_and_no_wait(folder: Path, run: Path) -> None:
    chance = random.Random(0)
    newest = CheckpointStore(run).path(10)
    state, summary = load_checkpoint(newest)
    done = 0
    for told, wrong, about in wrong_states(state, summary, chance):
        if not write_wrong(newest, wrong, about):
            continue
        started = time.monotonic()
        try:
            _resume(folder / "data", run)
        except TrmError:
            pass
        except Exception as error:
            raise AssertionError(told) from error
        assert time.monotonic() - started < 10, told
        done += 1
        if done == 60:
            return


def _resume(data: Path, run: Path) -> None:
    from tests.support.runs import prepare

    prepare(data, run, "arch.puzzle_emb_ndim=16")


@pytest.mark.parametrize(
    "change",
    [
        lambda _, about: about["dataset"]["metadata"].update(vocab_size="many"),
        lambda _, about: about["dataset"]["metadata"].pop("seq_len"),
        lambda _, about: about["dataset"]["metadata"].update(vocab_size=9),
        lambda state, _: state["model"].pop("q_head.bias"),
        lambda state, _: state.update(model=None),
    ],
)
def test_what_cannot_be_loaded_is_no_valid_checkpoint(run: Path, change: Any) -> None:
    rewrite(run, change)
    newest = CheckpointStore(run).path(10)
    read = trm_here("evaluate", str(newest), cwd=run.parent)
    # A dataset that does not fit what the checkpoint says is told before its weights are read.
    assert read.returncode == (3 if "name a dataset" in read.stderr else 4), read.stderr
    assert "step_00000010.pt" in read.stderr or "does not fit this model" in read.stderr
    shown = trm_here("checkpoints", "verify", str(run), "--json", cwd=run.parent)
    assert shown.returncode == 4
    valid = {one["step"]: one["problem"] for one in json.loads(shown.stdout)["checkpoints"]}
    assert valid[5] is None
    assert valid[10]


def test_weights_that_are_few_numbers_repeated_are_not_written_out(run: Path) -> None:
    rewrite(run, CHANGES["ema, repeated"])
    file = CheckpointStore(run).path(10)
    done = trm_here("checkpoints", "export", str(file), "--out", str(run / "w.safetensors"), cwd=run.parent)
    assert done.returncode == 4, done.stderr
    assert "q_head.bias" in done.stderr


FOREIGN: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "text": lambda path: path.write_text("weights"),
    "a state dict": lambda path: torch.save({"lm_head": torch.zeros(2, 2)}, path),
    "a tensor": lambda path: torch.save(torch.zeros(2), path),
    "without version": lambda path: resealed(path, lambda _, about: about.pop("trm")),
    "without step": lambda path: resealed(path, lambda _, about: about.pop("step")),
    "of a network of another width": lambda path: resealed(path, CHANGES["model, shape"]),
    "of a network with less": lambda path: resealed(path, CHANGES["model, less"]),
}


@pytest.mark.parametrize("form", ["safetensors", "original"])
@pytest.mark.parametrize("foreign", FOREIGN)
def test_nothing_is_exported_of_what_no_run_has_written(run: Path, foreign: str, form: str) -> None:
    """In a folder that rich would take for markup: also what is said about it is whole."""
    (run.parent / "x[").mkdir()
    folder = run.rename(run.parent / "x[/b]")
    path = CheckpointStore(folder).path(10)
    FOREIGN[foreign](path)
    words = ("checkpoints", "export", str(path), "--format", form, "--out", str(run.parent / "weights"))
    done = trm_here(*words, cwd=run.parent)
    assert done.returncode == 4, done.stderr
    assert "x[/b]/step_00000010.pt" in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
    assert not (run.parent / "weights").exists()


def test_exported_metadata_that_nobody_has_written(folder: Path, run: Path) -> None:
    file = run.parent / "weights.safetensors"
    assert trm_here("checkpoints", "export", str(run), "--out", str(file), cwd=run.parent).returncode == 0
    with safe_open(file, "pt") as opened:
        facts, tensors = opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    for change in (
        {"tied": "[1]"},
        {"tied": '{"a": {}}'},
        {"dataset": "[" * 100_000},
        {"dataset": "[]"},
        {"step": "x"},
    ):
        save_safetensors(tensors, file, {**facts, **change})
        lines = [("evaluate", str(file)), ("solve", str(file), "1" + "." * 15)]
        if "tied" in change:
            words = ("--arch", "trm_quickstart", "--dataset", str(folder / "data"), "--out", "new")
            lines.append(("checkpoints", "import", str(file), *words))
        for line in lines:
            done = trm_here(*line, cwd=run.parent)
            assert (done.returncode, "Traceback" in done.stderr) == (4, False), (change, line, done.stderr)


def test_a_summary_whose_step_is_no_number_starts_no_run(run: Path) -> None:
    rewrite(run, lambda _, summary: summary.update(step=NAN))
    file, data = CheckpointStore(run).path(10), run.parent / "data"
    words = [f"data_paths=[{write_boards(data, identifiers=3)}]", *TINY_RUN, "arch.puzzle_emb_ndim=16"]
    words += [f"checkpoint_path={run.parent / 'other'}", f"load_checkpoint={file}"]
    done = trm_here("train", "sudoku-4x4", "arch=trm_quickstart", *words, cwd=run.parent)
    assert done.returncode == 4, done.stderr
    assert "does not say how many updates" in " ".join(done.stderr.split())
