"""Every system call of a save fails once: a whole checkpoint is always there, and never an older one than before."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.failing_disk import Crash, Disk
from trm_cli.training.checkpoint.store import CheckpointStore

ROOT = Path(__file__).resolve().parents[3]


def state_of(step: int) -> dict:
    return {"step": step, "w": torch.full((3,), float(step))}


def commit(directory: Path, step: int) -> None:
    """What a run does when it saves."""
    store = CheckpointStore(directory, keep=2, run="r")
    store.save(step, state_of(step), {"run": "r"}, best=step % 2 == 0)
    store.prune()


def newest(directory: Path) -> int:
    found = CheckpointStore(directory, keep=2, run="r").load_newest(lambda message: None)
    assert found is not None
    assert torch.equal(found[0]["w"], state_of(found[0]["step"])["w"])
    return int(found[0]["step"])


def require_sound(directory: Path, *, at_least: int) -> None:
    """A whole checkpoint is there, not older than `at_least`; the next save works and leaves nothing behind."""
    assert newest(directory) >= at_least
    for link in ("latest.pt", "best.pt"):
        torch.load(directory / link, weights_only=True)  # whatever they name, they name something whole
    commit(directory, 5)
    assert newest(directory) == 5
    assert (directory / "latest.pt").resolve().name == "step_00000005.pt"
    assert [path.name for path in directory.iterdir() if path.name.startswith(".")] == []
    assert len(CheckpointStore(directory).steps()) <= 3


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has committed the steps 1 to 3, and what a killed writer left."""
    directory = tmp_path_factory.mktemp("base") / "run"
    for step in (1, 2, 3):
        commit(directory, step)
    (directory / ".step_00000004.pt.tmp").write_bytes(b"half a file")
    return directory


def calls_of_a_save(base: Path, copy: Path) -> list[str]:
    shutil.copytree(base, copy, symlinks=True)
    disk = Disk(copy)
    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        commit(copy, 4)
    return disk.calls


def interrupted(base: Path, copy: Path, disk_at: int, instead: object) -> tuple[Disk, BaseException | None]:
    shutil.copytree(base, copy, symlinks=True)
    disk = Disk(copy, disk_at, instead)  # type: ignore[arg-type]
    try:
        with pytest.MonkeyPatch.context() as patch:
            disk.install(patch)
            commit(copy, 4)
    except (Crash, OSError, RuntimeError) as error:  # RuntimeError: torch's last word while the process dies
        return disk, error
    return disk, None


def test_the_order_of_a_save_is_what_makes_it_durable(base: Path, tmp_path: Path) -> None:
    changes = ("write", "fsync", "replace", "unlink")
    calls = [name for name in calls_of_a_save(base, tmp_path / "copy") if name in changes]
    order = " ".join(name for name, before in zip(calls, ["", *calls], strict=False) if name != before)
    # Remains go first; the file is flushed before it has its name, the name before the links; the old file goes last.
    # (An unlink stands before every rename of a link: the one that a killed process may have left.)
    link = "unlink replace fsync "
    assert order == "unlink write fsync replace fsync " + 2 * link + "unlink"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EINTR], ids=["ENOSPC", "EIO", "EINTR"])
def test_any_call_may_fail(base: Path, tmp_path: Path, number: int) -> None:
    calls = calls_of_a_save(base, tmp_path / "clean")
    assert len(calls) > 40
    failures = 0
    for at, name in enumerate(calls):
        copy = tmp_path / str(at)
        _, error = interrupted(base, copy, at, lambda: OSError(number, os.strerror(number)))
        assert error is None or (isinstance(error, OSError) and error.errno == number), (at, name, error)
        failures += error is not None
        require_sound(copy, at_least=4 if error is None else 3)
        shutil.rmtree(copy)
    assert failures > 40


@pytest.mark.parametrize("cut", ["process", "power", "power, with names"])
def test_the_process_or_the_power_may_end_between_any_two_calls(base: Path, tmp_path: Path, cut: str) -> None:
    calls = calls_of_a_save(base, tmp_path / "clean")
    for at, name in enumerate(calls):
        copy = tmp_path / str(at)
        disk, error = interrupted(base, copy, at, Crash)
        assert disk.dead, (at, name, error)
        if cut != "process":
            disk.cut_power(names_survive=cut != "power")
        require_sound(copy, at_least=3)
        shutil.rmtree(copy)


EXITS = """
import os, shutil, sys
from pathlib import Path
import pytest
from tests.support.failing_disk import Disk
from tests.training.checkpoint.test_commit_protocol import calls_of_a_save, commit, require_sound

base, work = Path(sys.argv[1]), Path(sys.argv[2])
calls = calls_of_a_save(base, work / "clean")
for at in range(len(calls)):
    copy = work / str(at)
    shutil.copytree(base, copy, symlinks=True)
    child = os.fork()
    if not child:
        with pytest.MonkeyPatch.context() as patch:
            Disk(copy, at, lambda: os._exit(9)).install(patch)
            commit(copy, 4)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9, at
    require_sound(copy, at_least=3)
print(len(calls))
"""


@pytest.mark.slow
def test_a_process_that_really_ends_at_any_call(base: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", EXITS, str(base), str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40
