"""What is kept, what is deleted and why; and going on from an older step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.runs import TINY_RUN, differing, prepare, records, train
from trm_cli.app import create_app
from trm_cli.data.files.durable import held_directory
from trm_cli.errors import CheckpointError
from trm_cli.evaluation.scores.accuracy import Accuracy
from trm_cli.training import loop
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint, shard_folder
from trm_cli.training.checkpoint.retention import decide
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.run.run_directory import RunDirectory
from trm_cli.training.run.sealed_config import load_run_plan
from trm_cli.training.signals import StopRequest

MANY = ("keep_checkpoints=9", "eval_interval=6")


def call(*words: str) -> tuple[int, str, str]:
    """A command in this process: (exit code, stdout, stderr)."""
    done = CliRunner().invoke(create_app(), list(words), env={"COLUMNS": "80"})
    if isinstance(done.exception, CheckpointError):
        return int(done.exception.exit_code), done.stdout, done.exception.message
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def test_every_kth_epoch_is_kept_for_good(tmp_path: Path, dataset: Path) -> None:
    run = train(dataset, tmp_path / "run", "keep_checkpoints=1", "keep_every=2", "checkpoint_interval=3")
    assert run.plan.milestones is not None
    assert list(run.plan.milestones) == [10, 20, 30]
    best = CheckpointStore(tmp_path / "run").best_step()
    assert CheckpointStore(tmp_path / "run").steps() == sorted({10, 20, 30, best})
    assert load_run_plan(tmp_path / "run") == run.plan
    # A plan without them has the fingerprint that it always had.
    plain = prepare(dataset, tmp_path / "plain", "checkpoint_interval=3")[0].plan
    assert "milestones" not in plain.to_json()
    assert plain.fingerprint() != run.plan.fingerprint()


def scored(monkeypatch: pytest.MonkeyPatch, *scores: float) -> None:
    """The evaluations of the next run come out like this, one after the other."""
    results = iter([Accuracy(16, one, one, one, steps=3) for one in scores])
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: next(results))


def test_the_best_checkpoint_stays_where_one_is_kept(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, 0.9, 0.5, 0.4)  # after steps 10, 20 and 30; there is a checkpoint every 5
    run = train(dataset, tmp_path / "run", "keep_checkpoints=1")
    store = CheckpointStore(tmp_path / "run")
    assert store.steps() == [10, 30]
    assert store.best_step() == run.state.best_step == 10
    assert load_checkpoint(tmp_path / "run/best.pt")[0]["step"] == 10


def test_of_equal_checkpoints_the_first_one_is_the_best(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, 0.2, 0.7, 0.7)
    run = train(dataset, tmp_path / "run")
    assert run.state.best_step == CheckpointStore(tmp_path / "run").best_step() == 20


def test_prune_keeps_the_newest_whole_the_best_the_latest_and_the_milestones(tmp_path: Path, dataset: Path) -> None:
    run = tmp_path / "run"
    train(dataset, run, *MANY)  # steps 5 10 15 20 25 30, the best is the last
    store = CheckpointStore(run)
    store.point_best(10)
    for step in (25, 15):
        store.path(step).write_bytes(b"x" * 1000)
    store.point_latest(25)
    decisions = {one.step: one for one in decide(RunDirectory(run).store(), keep=2, milestones={5})}
    assert {step: (one.keep, one.reason) for step, one in decisions.items()} == {
        5: (True, "kept for good (keep_every)"),
        10: (True, "best"),
        15: (False, "damaged"),
        20: (True, "one of the newest 2"),
        25: (True, "latest"),
        30: (True, "one of the newest 2"),
    }
    code, out, _ = call("checkpoints", "prune", str(run), "--keep", "1", "--dry-run", "--json")
    document = json.loads(out)
    assert (code, document["dry_run"], document["freed_bytes"]) == (0, True, 0)
    assert [one["step"] for one in document["checkpoints"] if not one["keep"]] == [5, 15, 20]
    assert store.steps() == [5, 10, 15, 20, 25, 30]
    code, out, _ = call("checkpoints", "prune", str(run), "--keep", "1")
    assert (code, store.steps()) == (0, [10, 25, 30])
    assert "3 deleted" in out
    assert max(map(len, out.splitlines())) <= 80


def test_prune_leaves_a_run_alone_that_is_held_or_has_nothing_whole(tmp_path: Path, dataset: Path) -> None:
    run = tmp_path / "run"
    train(dataset, run, *MANY, stop_at_step=10)
    with held_directory(run):
        code, _, error = call("checkpoints", "prune", str(run), "--keep", "1")
    assert (code, CheckpointStore(run).steps()) == (4, [5, 10])
    assert "being trained by another process" in error
    for step in (5, 10):
        CheckpointStore(run).path(step).write_bytes(b"")
    code, _, error = call("checkpoints", "prune", str(run), "--keep", "1")
    assert (code, CheckpointStore(run).steps()) == (4, [5, 10])
    assert "no valid checkpoint" in error


def test_a_run_goes_on_from_an_older_step_and_sets_the_newer_ones_aside(tmp_path: Path, dataset: Path) -> None:
    whole = train(dataset, tmp_path / "whole", *MANY, "eval_interval=2")
    train(dataset, tmp_path / "run", *MANY, "eval_interval=2", stop_at_step=25)
    store = CheckpointStore(tmp_path / "run")
    store.point_best(20)
    metrics = (tmp_path / "run/metrics.jsonl").read_bytes()
    run, recorder = _from(dataset, tmp_path / "run", 10)
    assert run.state.step == 10
    assert (store.steps(), store.latest_step()) == ([5, 10, 15, 20, 25], 25)  # nothing is moved before it begins
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=12)
    assert "3 newer checkpoints" in recorder.notes[0]
    assert (store.steps(), store.latest_step(), store.best_step()) == ([5, 10, 12], 12, 10)
    aside = tmp_path / "run/discarded"
    assert CheckpointStore(aside).steps() == [15, 20, 25]
    assert (aside / "metrics.jsonl").read_bytes() == metrics
    assert [record["step"] for record in records(tmp_path / "run", "train")] == list(range(1, 13))
    parts = train(dataset, tmp_path / "run", *MANY, "eval_interval=2")
    assert differing(whole.state.state_dict(), parts.state.state_dict()) == []
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "run/metrics.jsonl").read_bytes()


def _from(data: Path, run: Path, step: int) -> tuple:
    from tests.support.runs import Recorder
    from trm_cli.config.compose import compose
    from trm_cli.config.dump import dump_config
    from trm_cli.training.hardware.machine import Machine
    from trm_cli.training.run.datasets import Datasets
    from trm_cli.training.run.run import Run

    words = ["arch=trm_quickstart", f"data_paths=[{data}]", f"checkpoint_path={run}", *TINY_RUN, *MANY]
    resolved = compose("sudoku-4x4", [*words, "eval_interval=2"])
    recorder = Recorder()
    datasets = Datasets.open(resolved.config)
    machine = Machine.choose(resolved.config, datasets.train.metadata.seq_len)
    text = dump_config(resolved)
    return Run.prepare(resolved.config, text, datasets, machine, recorder.note, from_step=step), recorder


def test_an_older_step_must_be_there_and_whole(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run", *MANY, stop_at_step=15)
    with pytest.raises(CheckpointError, match="no checkpoint of step 11") as caught:
        _from(dataset, tmp_path / "run", 11)
    assert "5, 10, 15" in str(caught.value.hint)
    CheckpointStore(tmp_path / "run").path(10).write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        _from(dataset, tmp_path / "run", 10)
    assert CheckpointStore(tmp_path / "run").steps() == [5, 10, 15]


def test_the_best_of_a_discarded_future_is_not_named_any_more(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run", *MANY, "eval_interval=2", stop_at_step=25)
    store = CheckpointStore(tmp_path / "run")
    store.point_best(20)
    store.path(10).unlink()
    run, recorder = _from(dataset, tmp_path / "run", 5)
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=6)
    assert store.best_step() is None
    assert load_checkpoint((tmp_path / "run/latest.pt").resolve())[0]["step"] == 6


def test_the_same_step_of_a_sharded_run_is_set_aside_twice(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for save in ("first", "second"):
        store.path(20).write_text(save)
        folder = shard_folder(store.path(20))
        folder.mkdir()
        (folder / f"{save}-00000.pt").write_text(save)
        store.set_aside([20])
    aside = CheckpointStore(tmp_path / "discarded").path(20)
    assert aside.read_text() == "second"
    assert [part.name for part in shard_folder(aside).iterdir()] == ["second-00000.pt"]
    assert not shard_folder(store.path(20)).exists()


def test_a_file_of_a_run_is_not_taken_for_the_run(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run", *MANY, stop_at_step=10)
    done = CliRunner().invoke(create_app(), ["resume", str(tmp_path / "run/step_00000005.pt")])
    assert "continues from its newest checkpoint" in str(done.exception)
