"""File systems without links, without directory fsync, without locks: all works there, or says what is missing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.support.commands import trm_here
from tests.support.file_systems import refuse, without_directory_fsync, without_links, without_locks
from tests.support.runs import TINY_RUN, differing, prepare, records, train
from tests.support.selection import slow_but
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.signals import StopRequest


def words(data: Path, run: Path, *more: str) -> list[str]:
    names = (f"data_paths=[{data}]", f"checkpoint_path={run}", "keep_checkpoints=1")
    return ["train", "sudoku-4x4", "arch=trm_quickstart", *names, *TINY_RUN, *more]


@pytest.mark.parametrize("number", slow_but([errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS], errno.EPERM))
def test_without_links_a_run_is_what_it_is_with_them(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with_links = train(dataset, tmp_path / "links", "keep_checkpoints=1")
    without_links(monkeypatch, number)
    run, recorder = prepare(dataset, tmp_path / "run", "keep_checkpoints=1")
    with StopRequest() as stop:
        run.train(recorder, stop)
    assert recorder.notes == []
    assert differing(with_links.state.state_dict(), run.state.state_dict()) == []
    ours, theirs = CheckpointStore(tmp_path / "run"), CheckpointStore(tmp_path / "links")
    assert (ours.steps(), ours.best_step(), ours.latest_step()) == (
        theirs.steps(),
        theirs.best_step(),
        theirs.latest_step(),
    )
    assert not (tmp_path / "run/latest.pt").is_symlink()
    assert (tmp_path / "run/latest.pt").read_text() == "step_00000030.pt\n"
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name.endswith(".tmp")] == []


def test_every_reader_follows_a_pointer_file(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_links(monkeypatch)
    done = trm_here(*words(dataset, tmp_path / "run"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "could not save" not in done.stderr
    pointer = str(tmp_path / "run/latest.pt")
    assert load_checkpoint(Path(pointer))[0]["step"] == 30
    for line in (
        ("evaluate", pointer, "--json"),
        ("evaluate", str(tmp_path / "run")),
        ("checkpoints", "list", str(tmp_path / "run")),
        ("checkpoints", "verify", str(tmp_path / "run")),
        ("checkpoints", "export", pointer, "--out", str(tmp_path / "weights.safetensors")),
        ("checkpoints", "consolidate", pointer, "--out", str(tmp_path / "one.pt")),
        ("inspect-schedule", str(tmp_path / "run")),
        tuple(words(dataset, tmp_path / "second", f"load_checkpoint={pointer}", "epochs=8")),
        ("resume", str(tmp_path / "run"), "epochs=8", "--replan"),
        ("checkpoints", "prune", str(tmp_path / "run"), "--keep", "1"),
        (*words(dataset, tmp_path / "run"), "--fresh"),
    ):
        done = trm_here(*line, cwd=tmp_path)
        assert done.returncode == 0, (line, done.stderr)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_directories_that_cannot_be_flushed_are_used_all_the_same(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    without_directory_fsync(monkeypatch, number)
    done = trm_here(*words(dataset, tmp_path / "run"), cwd=tmp_path)
    assert (done.returncode, "could not" in done.stderr) == (0, False), done.stderr


def test_a_file_that_cannot_be_flushed_is_not_taken_for_saved(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refuse(errno.EINVAL))
    done = trm_here(*words(dataset, tmp_path / "run"), cwd=tmp_path)
    assert (done.returncode, "cannot write to" in done.stderr) == (4, True), done.stderr


def test_a_file_system_without_locks_is_named_with_a_way_out(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch)
    monkeypatch.delenv("TRM_NO_LOCK", raising=False)
    done = trm_here(*words(dataset, tmp_path / "run"), cwd=tmp_path)
    told = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "cannot be locked against a second process: its file system has no locks" in told
    assert "set TRM_NO_LOCK=1" in told
    assert "disk space" not in told
    monkeypatch.setenv("TRM_NO_LOCK", "1")
    done = trm_here(*words(dataset, tmp_path / "run"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_builder_needs_no_locks_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.streams import SMALL, build_in_process

    without_locks(monkeypatch)
    monkeypatch.delenv("TRM_NO_LOCK", raising=False)
    done = build_in_process("--output-dir", tmp_path / "data", *SMALL)
    assert (done.returncode, "TRM_NO_LOCK=1" in done.stderr) == (1, True), done.stderr
    monkeypatch.setenv("TRM_NO_LOCK", "1")
    without_directory_fsync(monkeypatch)
    done = build_in_process("--output-dir", tmp_path / "data", *SMALL)
    assert done.returncode == 0, done.stderr


def test_a_pointer_that_cannot_be_switched_is_no_failed_save(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recorder = prepare(dataset, tmp_path / "run", "keep_checkpoints=1")
    real, calls = os.symlink, []

    def symlink(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) in (2, 3):  # at step 10 and at step 15
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "symlink", symlink)
    recorder.saved = lambda step, path, seconds: recorder.saved_steps.append(step)  # type: ignore[method-assign]
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=20)
    assert recorder.saved_steps == [5, 10, 15, 20]  # each once: none is repeated after every step
    assert len(recorder.notes) == 1
    assert "step 10 is saved, but latest.pt could not be switched to it (No space left" in recorder.notes[0]
    store = CheckpointStore(tmp_path / "run")
    assert (store.latest_step(), store.best_step()) == (20, run.state.best_step)
    assert store.steps() == sorted({20, run.state.best_step})


def test_a_run_directory_that_was_moved_ends_with_its_place(tmp_path: Path, dataset: Path) -> None:
    run, recorder = prepare(dataset, tmp_path / "run")

    def stepped(step: int, *_: object) -> None:
        if step == 7:
            (tmp_path / "run").rename(tmp_path / "elsewhere")

    recorder.stepped = stepped  # type: ignore[method-assign]
    with StopRequest() as stop, pytest.raises(CheckpointError) as caught:
        run.train(recorder, stop)
    assert f"run was moved to {tmp_path / 'elsewhere'} while it was being trained; step 10 is saved there" in str(
        caught.value
    )
    assert caught.value.hint == f"trm resume {tmp_path / 'elsewhere'}"
    assert not (tmp_path / "run").exists()
    whole = train(dataset, tmp_path / "whole")
    rest = train(dataset, tmp_path / "elsewhere")
    assert differing(whole.state.state_dict(), rest.state.state_dict()) == []
    assert records(tmp_path / "elsewhere", "train") == records(tmp_path / "whole", "train")


def test_a_run_directory_that_is_moved_after_the_last_save_is_not_where_it_was(tmp_path: Path, dataset: Path) -> None:
    run, recorder = prepare(dataset, tmp_path / "run")
    saved = recorder.saved

    def moved(step: int, path: Path, seconds: float) -> None:
        saved(step, path, seconds)
        if step == 30:
            (tmp_path / "run").rename(tmp_path / "elsewhere")
            (tmp_path / "run").mkdir()

    recorder.saved = moved  # type: ignore[method-assign]
    with StopRequest() as stop, pytest.raises(CheckpointError, match=r"elsewhere .* step 30 is saved there"):
        run.train(recorder, stop)
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_directory_that_was_deleted_is_not_made_again(tmp_path: Path, dataset: Path, replaced: bool) -> None:
    import shutil

    run, recorder = prepare(dataset, tmp_path / "run")

    def stepped(step: int, *_: object) -> None:
        if step == 7:
            shutil.rmtree(tmp_path / "run")
            if replaced:
                (tmp_path / "run").mkdir()

    recorder.stepped = stepped  # type: ignore[method-assign]
    with (
        StopRequest() as stop,
        pytest.raises(CheckpointError, match="was deleted while it was being trained") as caught,
    ):
        run.train(recorder, stop)
    assert caught.value.exit_code == 4
    assert (tmp_path / "run").exists() == replaced
    assert not replaced or list((tmp_path / "run").iterdir()) == []
