"""`trm compare`, `trm train --seeds`, and what evaluate and report say of a group of seeds."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.boards import write_boards
from tests.support.commands import Process, trm, trm_here
from tests.support.runs import TINY_RUN, differing, train
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.workflows.train.jobs import Job, Queue, run_jobs
from trm_cli.workflows.train.seeds import parse_seeds

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two evaluated runs on the same boards, `good` and `worse`, which trained for a quarter as long."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(trained / "run", folder / "good", symlinks=True)
    shutil.rmtree(folder / "good/evaluations", ignore_errors=True)
    words = ("epochs=10", "eval_interval=10", "arch.hidden_size=32", "lr=2e-3", "ema_rate=0.9", "optimizer=adamw")
    train(trained / "data", folder / "worse", *words)
    for name in ("good", "worse"):
        done = trm_here("evaluate", name, "--device", "cpu", cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_two_runs_are_compared_on_the_same_puzzles(runs: Path) -> None:
    document = json.loads(trm_here("compare", "good", "worse", "--json", cwd=runs).stdout)
    assert document["settings"]["lr"][0]["value"] == 3e-3 and document["settings"]["lr"][1]["value"] == 2e-3
    assert "epochs" in document["settings"] and "checkpoint_path" not in document["settings"]
    (test,) = document["tests"]
    assert test["test"] == "mcnemar"
    assert test["both"] + test["only_first"] + test["only_second"] + test["neither"] == 60
    exact = [side["exact"][0]["hits"] for side in document["sides"]]
    assert exact == [test["both"] + test["only_first"], test["both"] + test["only_second"]]
    assert test["difference"]["value"] == pytest.approx((exact[1] - exact[0]) / 60)
    assert sum(row["rows"] for row in test["by_difficulty"]["clues"]) == 60
    shown = trm_here("compare", "good", "worse", cwd=runs)
    assert shown.returncode == 0 and max(map(len, shown.stdout.splitlines())) <= 100
    for word in ("settings that differ", "0.002", "exact McNemar test", "A is right more often", "by clues"):
        assert word in shown.stdout


def test_a_run_is_no_better_than_itself_and_a_better_one_is_shown(runs: Path, tmp_path: Path) -> None:
    for name in ("same", "sure"):
        shutil.copytree(runs / "good", tmp_path / name, symlinks=True)
    same = json.loads(trm_here("compare", str(runs / "good"), "same", "--json", cwd=tmp_path).stdout)["tests"][0]
    assert (same["p_value"], same["differs"], same["only_first"]) == (1.0, False, 0)
    assert "no difference shown" in trm_here("compare", str(runs / "good"), "same", cwd=tmp_path).stdout
    (rows,) = (tmp_path / "sure").glob("evaluations/*/rows.npz")
    with np.load(rows) as archive:
        columns = {name: archive[name] for name in archive.files}
    columns["right"][:] = True
    np.savez_compressed(rows, **columns)
    sure = trm_here("compare", str(runs / "good"), "sure", cwd=tmp_path)
    assert "B is right more often" in sure.stdout


@pytest.mark.slow
def test_rows_that_are_damaged_are_asked_for_again(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "good", tmp_path / "bad", symlinks=True)
    (rows,) = (tmp_path / "bad").glob("evaluations/*/rows.npz")
    with np.load(rows) as archive:
        columns = {name: archive[name] for name in archive.files}

    def other_array() -> None:
        with rows.open("wb") as file:
            np.save(file, np.arange(3))

    damages: list[Callable[[], object]] = [
        other_array,
        lambda: np.savez(rows, **{**columns, "right": columns["right"][1:]}),
        lambda: np.savez(rows, place=columns["place"]),
        lambda: rows.write_bytes(rows.read_bytes()[:-30]),
        lambda: (rows.unlink(), os.mkfifo(rows)),
    ]
    for damage in damages:
        damage()
        done = trm_here("compare", str(runs / "good"), "bad", cwd=tmp_path)
        assert (done.returncode, "--again` make" in " ".join(done.stdout.split())) == (0, True), done.stderr


def test_evaluations_by_different_protocols_are_named_and_equal_ones_preferred(runs: Path, tmp_path: Path) -> None:
    for name in ("good", "worse"):
        shutil.copytree(runs / name, tmp_path / name, symlinks=True)
    shutil.rmtree(tmp_path / "worse/evaluations")
    assert trm_here("evaluate", "worse", "--steps", "1", "--raw", "--device", "cpu", cwd=tmp_path).returncode == 0
    shown = trm_here("compare", "good", "worse", cwd=tmp_path)
    assert "not evaluated by the same protocol" in shown.stdout
    (test,) = json.loads(trm_here("compare", "good", "worse", "--json", cwd=tmp_path).stdout)["tests"]
    assert "ema weights" in test["protocols"][0]
    assert "1 steps" in test["protocols"][1]
    assert "raw weights" in test["protocols"][1]
    assert trm_here("evaluate", "good", "--steps", "1", "--raw", "--device", "cpu", cwd=tmp_path).returncode == 0
    (test,) = json.loads(trm_here("compare", "good", "worse", "--json", cwd=tmp_path).stdout)["tests"]
    assert test["protocols"] is None


def test_what_cannot_be_compared_is_told_with_the_commands(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "good", tmp_path / "bare", symlinks=True)
    shutil.rmtree(tmp_path / "bare/evaluations")
    done = trm_here("compare", str(runs / "good"), "bare", cwd=tmp_path)
    assert done.returncode == 0 and "`trm evaluate bare --again` make them" in " ".join(done.stdout.split())
    assert trm_here("compare", "bare", cwd=tmp_path).returncode == 2
    assert trm_here("compare", "bare", "nothing", cwd=tmp_path).returncode == 4
    assert "must end in" in trm_here("compare", "bare", "bare", "--out", "x.gif", cwd=tmp_path).stderr


def test_a_comparison_is_drawn(runs: Path, tmp_path: Path) -> None:
    for name in ("c.html", "c.png"):
        out = tmp_path / name
        assert trm_here("compare", "good", "worse", "--out", str(out), cwd=runs).returncode == 0
        assert out.stat().st_size > 5000
    page = (tmp_path / "c.html").read_text()
    assert "<svg" in page and "http" not in page.replace("http://www.w3.org", "") and "McNemar" in page


# --- several seeds ---


@pytest.mark.parametrize(("text", "seeds"), [("3", [0, 1, 2]), ("0,5,2", [0, 5, 2]), ("7,", None), ("0", None)])
def test_seeds_are_listed_or_counted(text: str, seeds: list[int] | None) -> None:
    if seeds is not None:
        assert parse_seeds(text) == seeds
        return
    with pytest.raises(Exception, match="--seeds"):
        parse_seeds(text)


def test_runs_follow_each_other_and_one_that_fails_stops_no_other(tmp_path: Path) -> None:
    def run(seed: int, code: str) -> Job:
        return Job(f"seed {seed}", tmp_path, [sys.executable, "-c", code])

    mark = "from pathlib import Path; Path({!r}).touch(); raise SystemExit({})"
    runs = [run(n, mark.format(str(tmp_path / str(n)), 3 * (n == 1))) for n in range(4)]
    started: list[str] = []
    assert run_jobs(Queue(runs), 2, lambda one: started.append(one.name), None) == 3
    assert started == [f"seed {n}" for n in range(4)] and len(list(tmp_path.iterdir())) == 4
    said: list[str] = []
    assert run_jobs(Queue([run(5, "print('a line')"), run(6, "pass")]), 2, lambda one: None, said.append) == 0
    assert said == ["seed 5: a line"]


def grown(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size > size


@pytest.mark.slow
def test_seeds_that_are_killed_end_as_those_that_are_not(tmp_path: Path) -> None:
    """The commands of docs/long_runs.md, on small boards; the other runs are those of one command that is killed."""
    write_boards(tmp_path / "data")
    page = (ROOT / "docs/long_runs.md").read_text()
    block = page.split("## Several seeds")[1].split("```sh\n")[1].split("```")[0]
    (first, *after) = [shlex.split(line)[1:] for line in block.strip().splitlines()]
    at = first.index("epochs=40")
    first[at : at + 1] = [f"data_paths=[{tmp_path / 'data'}]", *TINY_RUN, "epochs=30"]
    whole = trm(*first, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert "mean of 3" in whole.stdout and "Student's t" in whole.stdout
    several = [word.replace("checkpoints/seeds", "checkpoints/other") for word in first]
    folders = [tmp_path / f"checkpoints/other/seed-{seed}" for seed in (0, 1)]
    kill = (signal.SIGKILL, -9)
    for number, code in (kill, (signal.SIGTERM, 75), kill, (signal.SIGINT, 130), kill):
        process = Process("-m", "trm_cli", *several, cwd=tmp_path)
        logs = [folder / "metrics.jsonl" for folder in folders]
        before = [path.stat().st_size if path.exists() else 0 for path in logs]
        while process.poll() is None and not all(map(grown, logs, before)):
            time.sleep(0.01)
        os.kill(process.pid, number)
        assert process.wait(60) == code, process.errors()
    done = trm(*several, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for folder in folders:
        ends = [folder / "latest.pt", tmp_path / "checkpoints/seeds" / folder.name / "latest.pt"]
        left, right = (load_checkpoint(path.resolve())[0] for path in ends)
        assert differing(left, right) == []
    evaluated = json.loads(trm("evaluate", "other", "--json", cwd=tmp_path).stdout)
    assert evaluated["seeds"] == 3 and len(evaluated["runs"]) == 3 and evaluated["t_interval"] is not None
    for line in after:
        done = trm(*line, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "no difference shown" in done.stdout and "permutation test over the seeds" in done.stdout
    assert (tmp_path / "checkpoints/seeds/report.html").stat().st_size > 5000


@pytest.mark.slow
def test_a_dry_run_of_several_seeds_writes_nothing(tmp_path: Path) -> None:
    few = ["dataset_args.train=4", "dataset_args.test=2", "dataset_args.num_aug=0"]
    done = trm("train", "sudoku-4x4", *few, "--seeds", "2", "--jobs", "2", "--dry-run", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "seed 1: " in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_mistakes_with_seeds(tmp_path: Path, runs: Path) -> None:
    data = f"data_paths=[{tmp_path}]"
    for words, said in (
        (["seed=4", data, "--seeds", "2"], "leave seed= out"),
        ([f"checkpoint_path={runs / 'good'}", data, "--seeds", "2"], "is a run, not a directory for several"),
        ([data, "--seeds", "two"], "--seeds 0,1,2"),
        ([data, "--seeds", "2", "--dataset-only"], "build it without --seeds"),
    ):
        done = trm_here("train", "sudoku-4x4", *words, cwd=tmp_path)
        assert done.returncode == 2 and said in done.stderr, done.stderr
