"""`trm train`, `resume` and `solve`: screens, exit codes, signals, and kills; in real processes where that matters."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.commands import Process, trm, trm_here
from tests.support.runs import TINY_RUN, differing, records
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint

#: What a fixture of this module trains is trained once: one worker does all of it.

ROOT = Path(__file__).resolve().parents[2]


def words_of(folder: Path, run: str, *more: str) -> list[str]:
    """A tiny run on boards in `folder`/data, kept in `folder`/`run`."""
    return [
        "train",
        "sudoku-4x4",
        f"data_paths=[{folder / 'data'}]",
        f"checkpoint_path={folder / run}",
        *TINY_RUN,
        *more,
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset and an uninterrupted run of it, made by the command."""
    folder = tmp_path_factory.mktemp("finished")
    write_boards(folder / "data")
    done = trm(*words_of(folder, "whole", "epochs=20"), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "updates: 5 an epoch x 20 epochs" in done.stderr
    assert done.stderr.index("Command: trm train") < done.stderr.index("quantity") < done.stderr.index("step ")
    assert done.stdout.startswith("done: 100 steps")
    return folder


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGKILL, -9),
        pytest.param(signal.SIGTERM, 75, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
    ids=["KILL", "TERM", "INT"],
)
def test_a_stopped_process_is_continued_to_the_same_bits(finished: Path, number: signal.Signals, code: int) -> None:
    run = f"stopped-{number.name}"
    process = Process("-m", "trm_cli", *words_of(finished, run, "epochs=20"), cwd=finished)
    metrics = finished / run / "metrics.jsonl"
    while process.poll() is None and (not metrics.exists() or metrics.read_bytes().count(b"\n") < 25):
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) == code
    stopped_at = int(records(finished / run, "train")[-1]["step"])
    done = trm("resume", str(finished / run), cwd=finished)
    assert done.returncode == 0, done.stderr
    assert 20 <= stopped_at < 100
    assert (finished / "whole/metrics.jsonl").read_bytes() == (finished / run / "metrics.jsonl").read_bytes()
    for link in ("latest.pt", "best.pt"):
        left, right = (load_checkpoint((finished / name / link).resolve())[0] for name in ("whole", run))
        assert differing(left, right, link) == []


def test_a_complete_run_is_left_as_it_is(finished: Path) -> None:
    (finished / "whole/.lock").write_text("")  # who held it last
    before = {path: path.read_bytes() for path in (finished / "whole").iterdir() if path.is_file()}
    done = trm(*words_of(finished, "whole", "epochs=20"), cwd=finished)
    assert done.returncode == 0
    assert "is complete: 100 steps" in done.stdout
    (finished / "whole/.lock").write_text("")
    assert before == {path: path.read_bytes() for path in (finished / "whole").iterdir() if path.is_file()}


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(finished: Path) -> None:
    assert trm(*words_of(finished, "damaged", "epochs=20"), "--stop-at-step", "50", cwd=finished).returncode == 0
    newest = (finished / "damaged/latest.pt").resolve()
    data = bytearray(newest.read_bytes())
    data[len(data) // 3] ^= 4
    newest.write_bytes(data)
    done = trm("resume", str(finished / "damaged"), cwd=finished)
    assert done.returncode == 0, done.stderr
    assert f"{newest.name} is damaged" in done.stderr
    assert "continuing from step 45" in done.stderr
    left, right = (load_checkpoint((finished / name / "latest.pt").resolve())[0] for name in ("whole", "damaged"))
    assert differing(left, right) == []


def test_other_settings_are_told_apart(finished: Path) -> None:
    grave = trm_here(*words_of(finished, "whole", "epochs=20", "arch.hidden_size=32"), cwd=finished)
    assert grave.returncode == 4
    assert "arch.hidden_size" in grave.stderr
    assert "another run" in grave.stderr
    planned = trm_here("resume", str(finished / "whole"), "epochs=21", cwd=finished)
    assert planned.returncode == 4
    assert "--replan" in planned.stderr
    free = trm("resume", str(finished / "whole"), "log_interval=3", cwd=finished)
    assert free.returncode == 0


def test_a_new_plan_that_is_accepted_is_carried_out(finished: Path) -> None:
    run = finished / "replanned"
    shutil.copytree(finished / "whole", run, symlinks=True)
    before = records(run, "train")
    done = trm("resume", str(run), "epochs=22", "lr=0.25", "lr_min_ratio=1", "--replan", cwd=finished)
    assert done.returncode == 0, done.stderr
    assert "done: 110 steps" in done.stdout
    after = records(run, "train")
    assert after[: len(before)] == before
    assert [record["lr"] for record in after[len(before) :]] == [0.25] * 10
    assert json.loads((run / "plan.json").read_text())["total_steps"] == 110
    assert "epochs: 22\n" in (run / "config.yaml").read_text(), "the new plan is the run's own"


def test_another_dataset_is_refused(finished: Path) -> None:
    write_boards(finished / "other", train=41)
    words = [f"data_paths=[{finished / 'other'}]", f"checkpoint_path={finished / 'whole'}", *TINY_RUN, "epochs=20"]
    done = trm_here("train", "sudoku-4x4", *words, cwd=finished)
    assert done.returncode == 4
    assert "another dataset: fingerprint" in done.stderr


def test_a_dry_run_prints_everything_and_writes_nothing(finished: Path, tmp_path: Path) -> None:
    before = sorted(str(path) for path in finished.rglob("*"))
    done = trm(*words_of(finished, "never"), "--dry-run", cwd=finished)
    assert done.returncode == 0, done.stderr
    for part in ("Command: trm train", "quantity", "device", "precision", "nothing was written"):
        assert part in (done.stderr if part.startswith("Command") else done.stdout)
    unbuilt = trm_here("train", "sudoku-4x4", "--dry-run", cwd=tmp_path)
    assert unbuilt.returncode == 0, unbuilt.stderr
    assert "would be built first" in unbuilt.stdout
    assert list(tmp_path.iterdir()) == []
    assert before == sorted(str(path) for path in finished.rglob("*"))


def test_two_processes_do_not_train_one_run(finished: Path) -> None:
    from trm_cli.data.files.durable import held_directory

    shutil.copytree(finished / "whole", finished / "busy", symlinks=True)
    for name in ("plan.json", "best.pt"):  # what the other process is just about to write
        (finished / "busy" / name).unlink()
    with held_directory(finished / "busy"):
        before = sorted((finished / "busy").iterdir())
        done = trm(*words_of(finished, "busy", "epochs=21"), "--replan", cwd=finished)
        assert before == sorted((finished / "busy").iterdir())
    assert done.returncode == 4
    assert "is being trained by another process" in done.stderr


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(
    ("lacks", "code", "told"), [("disk", 4, "no space for a checkpoint"), ("memory", 1, "at once")]
)
def test_dry_run_and_run_refuse_alike_and_leave_nothing(
    finished: Path, monkeypatch: pytest.MonkeyPatch, lacks: str, code: int, told: str, dry: bool
) -> None:
    if lacks == "disk":
        monkeypatch.setattr("trm_cli.training.checkpoint.disk_space.free_bytes", lambda _: 10_000)
    else:
        monkeypatch.setattr("trm_cli.training.memory.check.free_memory", lambda _: 100_000)
    done = trm_here(*words_of(finished, "refused"), *(["--dry-run"] if dry else []), cwd=finished)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    assert not (finished / "refused").exists()


def test_a_refused_run_leaves_no_directory(finished: Path) -> None:
    wide = ["arch.hidden_size=32", f"load_checkpoint={finished / 'whole' / 'latest.pt'}"]
    done = trm_here(*words_of(finished, "refused"), *wide, cwd=finished)
    assert done.returncode == 4, done.stderr
    assert not (finished / "refused").exists()


def test_mistakes_get_a_message_and_no_traceback(finished: Path) -> None:
    cases = {
        ("train", "sudoku-4x4", "epoch=3"): (2, "did you mean `epochs`"),
        ("train", "sudoku-4x4", "device=cuda", f"data_paths=[{finished / 'data'}]"): (2, "no CUDA device"),
        ("train", "sudoku-4xx"): (2, "sudoku-4x4"),
        ("resume", "nowhere"): (4, "there is no run nowhere"),
        ("resume",): (4, "no runs in checkpoints"),
        ("solve", "nowhere", "1234"): (4, "there is no run nowhere"),
        ("solve", str(finished / "whole"), "12"): (2, "16 cells"),
        ("solve", str(finished / "whole"), "9" * 16): (2, "not a cell of a 4x4 Sudoku"),
    }
    for number, (words, (code, part)) in enumerate(cases.items()):
        call = trm_here if number else trm  # the others do not wait for another import
        done = call(*words, cwd=finished)
        assert (done.returncode, part in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr


def test_solve_reads_an_argument_a_file_and_standard_input(finished: Path) -> None:
    board = "1... ..3. .2.. ...4"
    (finished / "board.txt").write_text("1...\n..3.\n.2..\n...4\n")
    run = str(finished / "whole")
    by_argument = trm("solve", run, board, "--json", cwd=finished)
    by_file = trm_here("solve", run, "board.txt", "--json", cwd=finished)
    by_input = trm("solve", run, "--json", cwd=finished, text=board)
    document = json.loads(by_argument.stdout)
    assert document == json.loads(by_file.stdout) == json.loads(by_input.stdout)
    assert document["puzzle"] == "1.....3..2.....4"
    assert len(document["steps"]) == 3
    screen = trm_here("solve", run, board, cwd=finished)
    assert screen.returncode in (0, 5)
    assert "puzzle" in screen.stdout
    assert "solved" in screen.stdout
    assert max(map(len, screen.stdout.splitlines())) <= 100


def test_logged_values_are_what_inspect_schedule_says_at_every_step(finished: Path) -> None:
    at = [word for step in range(1, 101) for word in ("--at", str(step))]
    done = trm_here("inspect-schedule", str(finished / "whole"), "--json", *at, cwd=finished)
    document = json.loads(done.stdout)
    assert document["total_steps"] == 100
    logged = records(finished / "whole", "train")
    names = [quantity["name"] for quantity in document["quantities"]]
    said = {entry["step"]: entry["values"] for entry in document["at"]}
    assert {record["step"]: {name: record[name] for name in names} for record in logged} == said


def test_compile_without_a_compiler_is_told_and_trains(tmp_path: Path, dataset: Path) -> None:
    words = ["train", "sudoku-4x4", f"data_paths=[{dataset}]", f"checkpoint_path={tmp_path / 'run'}", "device=cpu"]
    words += ["threads=1", "wandb=disabled", "compile=true", "--stop-at-step", "1"]
    done = trm(*words, PATH=str(tmp_path), CXX="", COLUMNS="120")
    assert done.returncode == 0, done.stderr
    assert re.search(r"compile +off +torch.compile needs a C\+\+ compiler: no .*\+\+ is on the PATH", done.stderr)


@pytest.mark.slow
def test_a_compilation_that_fails_is_told_with_the_way_round_it(tmp_path: Path, dataset: Path) -> None:
    compiler = tmp_path / "broken++"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    words = ["train", "sudoku-4x4", f"data_paths=[{dataset}]", f"checkpoint_path={tmp_path / 'run'}", "device=cpu"]
    words += ["threads=1", "wandb=disabled", "compile=true", "--stop-at-step", "1"]
    done = trm(*words, CXX=str(compiler), TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"))
    assert done.returncode == 1, done.stderr
    assert "torch.compile failed: " in done.stderr and "compile=false" in done.stderr
    assert "Traceback" not in done.stderr
