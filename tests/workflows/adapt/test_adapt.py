"""`trm adapt`: from demonstrations to two attempts for every test input."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.arc_tasks import KNOWN, NEW, pairs, task, write_challenges, write_source
from tests.support.boards import write_boards
from tests.support.commands import Process, trm
from tests.support.runs import train
from trm_cli.data.files.durable import held_directory
from trm_cli.workflows.adapt.adapt import adapt
from trm_cli.workflows.adapt.request import AdaptRequest

QUICK = ("--augmentations", "2")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run."""
    home = tmp_path_factory.mktemp("home")
    write_source(home)
    return home


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def submitted(path: Path) -> dict[str, list[dict[str, Any]]]:
    """A submission, checked for its form."""
    document: dict[str, list[dict[str, Any]]] = json.loads(path.read_text())
    for attempts in document.values():
        for one in attempts:
            assert one.keys() == {"attempt_1", "attempt_2"}
            for grid in one.values():
                assert len({len(row) for row in grid}) == 1 and all(0 <= cell <= 9 for row in grid for cell in row)
    return document


def empty(one: dict[str, Any]) -> bool:
    return all(grid == [[0, 0], [0, 0]] for grid in one.values())


def test_every_test_input_gets_two_attempts_in_the_order_of_the_file(home: Path) -> None:
    long = {"input": [[1] * 30], "output": [[2] * 30]}
    tasks = {
        "zz": task(NEW["mirror"]),
        "many": {"train": pairs(NEW["flip"], 2), "test": [*task(NEW["flip"], 9)["test"], task(NEW["flip"])["test"][0]]},
        "wide": {"train": [long], "test": [{"input": [[3] * 30]}]},
        "one": task(NEW["mirror"]),  # the id of a task that the source was trained on
        "ragged": {"train": [{"input": [[1, 2], [3]], "output": [[1]]}], "test": [{"input": [[1]]}, {"input": [[2]]}]},
        "half": {"train": [{"input": [[11]], "output": [[1]]}, *pairs(NEW["flip"], 1)], "test": [{"input": [[1]]}, {}]},
        "nothing": 7,
        "aa": task(NEW["flip"]),
    }
    write_challenges(home / "all_challenges.json", tasks)
    before = digests(home / "checkpoints/source")
    line = ("adapt", "source", "all_challenges.json", "--updates", 2, *QUICK, "--out", "sub.json", "--json")
    done = trm(*line, cwd=home)
    assert done.returncode == 0, done.stderr
    found, document = submitted(home / "sub.json"), json.loads(done.stdout)
    assert list(found) == list(tasks)
    assert [len(attempts) for attempts in found.values()] == [1, 10, 1, 1, 2, 2, 1, 1]
    assert [name for name, attempts in found.items() if all(map(empty, attempts))] == ["ragged", "nothing"]
    assert empty(found["half"][1]) and found["many"][0] == found["many"][9]
    assert document["damaged"].keys() == {"ragged", "half", "nothing"}
    assert (document["answered"], document["test_inputs"], document["updates"]) == (15, 19, 2)
    assert document["all_votes"] and document["run"] == "checkpoints/source-adapt-all"
    assert "task ragged: train 1: `input` must be a rectangle" in done.stderr
    assert digests(home / "checkpoints/source") == before, "the source is only read"

    again = trm(*line, cwd=home)
    assert json.loads(again.stdout) == document and "memory" not in again.stderr, "what is done is not repeated"
    other = trm(*line, "lr=1e-3", cwd=home)
    assert json.loads(other.stdout)["run"] == "checkpoints/source-adapt-all-2", "other settings are another run"


def test_one_task_a_folder_and_known_outputs(home: Path) -> None:
    scored = {"train": pairs(NEW["flip"], 2), "test": pairs(NEW["flip"], 1, seed=1)}
    for name in ("a", "b"):
        write_challenges(home / "folder" / f"{name}.json", scored)
    (home / "folder/c.json").write_text('{"train": [')
    words = ("--updates", 1, "--augmentations", 0, "--rows", "zero", "freeze_weights=true", "--json")
    done = trm("adapt", "checkpoints/source/latest.pt", "folder", *words, cwd=home)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["scores"]["tasks"], document["test_inputs"], document["answered"]) == (2, 3, 2)
    assert "damaged JSON" in document["damaged"]["c"][0]
    assert "the others start with zeros" in done.stderr
    tasks = json.loads((home / document["run"] / "tasks/arc-agi_adapt_challenges.json").read_text())
    assert all("output" not in pair for one in tasks.values() for pair in one["test"]), "outputs are for scoring alone"
    single = trm("adapt", "source", "folder/a.json", "--updates", 1, "--dry-run", cwd=home)
    assert single.returncode == 0 and "1 task with 1 test input" in single.stderr
    assert not (home / "checkpoints/source-adapt-a").exists()


@pytest.mark.slow
def test_demonstrations_that_are_left_out_are_tested_and_change_no_plan(home: Path) -> None:
    tasks = {name: {**task(rule), "train": pairs(rule, 3)} for name, rule in NEW.items()}
    write_challenges(home / "spared_challenges.json", tasks)
    line = ("adapt", "source", "spared_challenges.json", "--updates", 3, *QUICK, "--leave-out", 1, "--json")
    done = trm(*line, cwd=home)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {step: one["count"] for step, one in document["left_out"].items()} == {"1": 1, "2": 1, "3": 1}
    assert document["updates"] == 3 and document["test_inputs"] == 2
    assert done.stderr.count("of 1 left-out demonstration right") == 3 and done.stderr.count("memory ") == 1
    built = json.loads((home / document["run"] / "tasks/arc-agi_adapt_challenges.json").read_text())
    assert [(len(one["train"]), len(one["test"])) for one in built.values()] == [(2, 2), (3, 1)]
    assert built["mirror"]["test"][1] == tasks["mirror"]["train"][2]


@pytest.mark.slow
def test_tasks_that_are_learned_rest(home: Path) -> None:
    """Copying a black cell is learned at once; what is asked of the other task it does not learn."""
    same = {"input": [[0]], "output": [[0]]}
    tasks = {"copy": {"train": [same] * 2, "test": [{"input": [[0]]}]}, "mirror": task(NEW["mirror"])}
    write_challenges(home / "resting_challenges.json", tasks)
    words = ("lr=3e-2", "puzzle_emb_lr=0.1", "global_batch_size=8")
    line = ("adapt", "source", "resting_challenges.json", "--updates", 60, *QUICK, "--early-stop", "--json", *words)
    done = trm(*line, cwd=home)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    noted = json.loads((home / document["run"] / "progress.json").read_text())
    assert noted["tasks"] == 2 and list(noted["learned"].values())[-1] == [0]
    assert len(document["learned"]) == 10 and document["learned"]["60"] == 1
    assert "all demonstrations of 1 of 2 tasks right" in done.stderr


@pytest.mark.slow
def test_a_network_with_a_smaller_canvas_takes_what_fits(tmp_path: Path) -> None:
    write_source(tmp_path, "dataset_args.side=4")
    tasks = {
        "mirror": task(NEW["mirror"]),
        "wide": {"train": pairs(NEW["flip"], 2), "test": [{"input": [[1, 2, 3, 4, 5]]}, {"input": [[1, 2]]}]},
    }
    write_challenges(tmp_path / "new_challenges.json", tasks)
    line = ("adapt", "source", "new_challenges.json", "--updates", 1, *QUICK, "--json")
    done = trm(*line, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["answered"], document["test_inputs"]) == (2, 3)
    assert "task wide: test 1: `input` must be a rectangle of up to 4x4 colours 0 to 9" in done.stderr
    (tmp_path / "wide.json").write_text(json.dumps(tasks["wide"]))
    solved = trm("solve", "source", "wide.json", cwd=tmp_path)
    assert solved.returncode == 2 and "a grid of 1x5 cells does not fit the model's 4x4" in solved.stderr
    (tmp_path / "mirror.json").write_text(json.dumps(tasks["mirror"]))
    unknown = trm("solve", "source", "mirror.json", cwd=tmp_path)
    assert unknown.returncode == 2 and "trm adapt source mirror.json --budget 10m" in unknown.stderr
    known = {"train": pairs(KNOWN["one"], 2), "test": pairs(KNOWN["one"], 1, seed=1)}
    (tmp_path / "one.json").write_text(json.dumps(known))
    assert trm("solve", "source", "one.json", "--json", cwd=tmp_path).returncode in (0, 5)


@pytest.mark.slow
def test_it_begins_from_exported_weights(home: Path) -> None:
    assert trm("checkpoints", "export", "source", "--out", "small.safetensors", cwd=home).returncode == 0
    write_challenges(home / "few_challenges.json")
    line = ("few_challenges.json", "--updates", 1, *QUICK, "--json")
    done = trm("adapt", "small.safetensors", *line, cwd=home)
    assert done.returncode == 0, done.stderr
    assert "small.safetensors is where the run begins" in done.stderr
    document = json.loads(done.stdout)
    assert (document["run"], document["answered"]) == ("checkpoints/small-adapt-few", 2)
    (home / "cut.safetensors").write_bytes((home / "small.safetensors").read_bytes()[:-9])
    for file, said in (("cut", "is damaged"), ("gone", "no file gone.safetensors")):
        refused = trm("adapt", f"{file}.safetensors", *line, cwd=home)
        assert refused.returncode == 4 and said in refused.stderr


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ((), "how long may it learn?", 2),
        (("--updates", 1, "--budget", "1m"), "how long may it learn?", 2),
        (("--budget", "soon"), "is not a time", 2),
        (("--updates", 1, "--rows", "one"), "expected mean or zero", 2),
        (("--updates", 1, "epochs=3"), "adapt decides epochs itself", 2),
        (("--updates", 1, "arch.H_cicles=3"), "H_cycles", 2),
    ],
)
def test_what_is_refused_leaves_nothing_behind(words: tuple[object, ...], said: str, code: int, home: Path) -> None:
    write_challenges(home / "new_challenges.json")
    done = trm("adapt", "source", "new_challenges.json", *words, cwd=home)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert not (home / "checkpoints/source-adapt-new").exists()


def test_a_run_on_other_puzzles_is_refused(tmp_path: Path) -> None:
    train(write_boards(tmp_path / "data"), tmp_path / "checkpoints/boards", stop_at_step=1)
    write_challenges(tmp_path / "new_challenges.json")
    done = trm("adapt", "boards", "new_challenges.json", "--updates", 1, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "was trained on sudoku rows, not on ARC tasks" in done.stderr


def test_no_task_that_can_be_learned_is_an_error_with_a_submission(home: Path) -> None:
    write_challenges(home / "bad_challenges.json", {"x": {"train": [], "test": [{"input": [[1]]}] * 2}})
    done = trm("adapt", "source", "bad_challenges.json", "--updates", 1, "--out", "bad.json", cwd=home)
    assert done.returncode == 3
    assert "none of the 1 tasks" in done.stderr
    assert [empty(one) for one in submitted(home / "bad.json")["x"]] == [True, True]


@pytest.mark.slow
def test_a_task_that_it_has_never_seen_is_answered(home: Path) -> None:
    shown, asked = (pairs(lambda grid: np.full_like(grid, 3), count, seed=count) for count in (3, 2))
    write_challenges(home / "fill.json", {"train": shown, "test": asked})
    words = ("lr=2e-2", "puzzle_emb_lr=0.1", "global_batch_size=8", "arch.halt_max_steps=2", "--augmentations", 0)
    before, after = (
        json.loads(trm("adapt", "source", "fill.json", "--updates", count, *words, "--json", cwd=home).stdout)["scores"]
        for count in (1, 80)
    )
    assert (before["pass_2"], after["pass_2"], after["solved"]) == (0, 1, ["fill"])


@pytest.mark.slow
def test_a_budget_is_divided_and_kept(home: Path) -> None:
    write_challenges(home / "timed_challenges.json")
    words, began = ("--augmentations", 1, "--json"), time.monotonic()
    assert trm("adapt", "source", "timed_challenges.json", "--updates", 1, *words, cwd=home).returncode == 0
    budget = max(15.0, 4 * (time.monotonic() - began))  # a machine may have much else to do
    done = trm("adapt", "source", "timed_challenges.json", "--budget", f"{budget:.0f}s", *words, cwd=home)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["seconds"] < budget and document["updates"] >= 1
    assert "s an update" in done.stderr and submitted(home / document["submission"])


Reached = Callable[[Path], bool]
#: Moments of an adaptation, by what lies in its run.
MOMENTS: dict[str, Reached] = {
    "build": lambda run: any((run / "tasks").glob("*.json")),
    "training": lambda run: (run / "metrics.jsonl").is_file() and (run / "metrics.jsonl").read_text().count("\n") > 2,
    "voting": lambda run: any((run / "votes").glob("*/batch-*")),
}


def interrupt(home: Path, line: list[str], run: Path, reached: Reached, number: int) -> int:
    """Run a command in a process of its own, and send it a signal once its run has come so far."""
    with Process("-m", "trm_cli", *line, cwd=home) as process:
        while process.poll() is None and not reached(run):
            time.sleep(0.02)
        os.kill(process.pid, number)
        return process.wait()


@pytest.mark.slow
def test_killed_anywhere_it_goes_on_to_the_same_submission(home: Path) -> None:
    write_challenges(home / "long_challenges.json", {name: task(rule, 30) for name, rule in NEW.items()})
    line = ["adapt", "source", "long_challenges.json", "--updates", "12", *QUICK]
    words = ["log_interval=1", "checkpoint_minutes=0.001"]
    run = home / "checkpoints/source-adapt-long"
    for reached in MOMENTS.values():
        assert interrupt(home, [*line, *words], run, reached, signal.SIGKILL) == -signal.SIGKILL
        assert all(map(empty, submitted(run / "submission.json")["flip"]))
    assert trm(*line, *words, cwd=home).returncode == 0
    # Saving more or less often makes another run of it, and the same answers.
    assert trm(*line, "log_interval=1", cwd=home).returncode == 0
    once = home / "checkpoints/source-adapt-long-2"
    assert (run / "submission.json").read_bytes() == (once / "submission.json").read_bytes()
    assert not all(map(empty, submitted(run / "submission.json")["flip"]))


@pytest.mark.slow
def test_sigterm_in_training_leaves_the_answers_so_far(home: Path) -> None:
    write_challenges(home / "ended_challenges.json")
    run = home / "checkpoints/source-adapt-ended"
    line = ["adapt", "source", "ended_challenges.json", "--updates", "100000", *QUICK, "log_interval=1"]
    assert interrupt(home, line, run, MOMENTS["training"], signal.SIGTERM) == 75
    assert not any(map(empty, submitted(run / "submission.json")["mirror"]))
    assert not (run / "result.json").exists()


@pytest.mark.slow
def test_sigterm_in_the_vote_leaves_the_votes_so_far_and_the_rest_follows(home: Path) -> None:
    write_challenges(home / "voted_challenges.json", {name: task(rule, 40) for name, rule in NEW.items()})
    run = home / "checkpoints/source-adapt-voted"
    line = ["adapt", "source", "voted_challenges.json", "--updates", "2", *QUICK]
    assert interrupt(home, line, run, MOMENTS["voting"], signal.SIGTERM) == 75
    answered = [not empty(one) for attempts in submitted(run / "submission.json").values() for one in attempts]
    assert any(answered) and not (run / "result.json").exists()
    done = trm(*line, "--json", cwd=home)
    assert done.returncode == 0 and json.loads(done.stdout)["votes"] == 2 * 40 * 3
    assert not (run / "votes").exists()


def test_two_at_once_are_refused(home: Path) -> None:
    write_challenges(home / "busy_challenges.json")
    line = ("adapt", "source", "busy_challenges.json", "--updates", 1, "--augmentations", 0)
    assert trm(*line, cwd=home).returncode == 0
    with held_directory(home / "checkpoints/source-adapt-busy/tasks"):
        done = trm(*line, cwd=home)
    assert done.returncode == 4 and f"by another process (id {os.getpid()})" in done.stderr


def test_a_budget_that_was_used_up_before_ends_at_once_with_a_submission(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    tasks = write_challenges(home / "late_challenges.json")
    request = AdaptRequest(run="source", tasks=tasks, budget=3600.0, process_began=time.monotonic() - 3599)
    document = adapt(request).document
    assert (document["updates"], document["answered"]) == (0, 0)
    assert not (home / document["run"] / "data").exists(), "nothing is built"
    assert all(map(empty, submitted(home / document["submission"])["mirror"]))
