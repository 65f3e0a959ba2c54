"""`profile: true`: a trace of a few updates, the shares of their phases, and the same run as without."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.support.runs import prepare, train
from trm_cli.training.profiling import PHASES, NoProfile, Profile
from trm_cli.training.run.reset_run import clear_run
from trm_cli.training.signals import StopRequest

SHARES = {f"{phase}_share" for phase in PHASES}


def profiled(data: Path, run: Path, *words: str, stop_at_step: int | None = None) -> list[str]:
    """Train with a profile; what was said of it."""
    prepared, recorder = prepare(data, run, "profile=true", *words)
    with StopRequest() as stop:
        prepared.train(recorder, stop, stop_at_step=stop_at_step)
    return [note for note in recorder.notes if "profile" in note]


def phases_in(path: Path) -> Counter[str]:
    """How often each phase stands in a trace."""
    with gzip.open(path, "rt") as file:
        events = json.load(file)["traceEvents"]
    return Counter(event["name"] for event in events if event.get("cat") == "user_annotation")


@pytest.mark.slow
def test_five_updates_after_two_are_traced(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (said,) = profiled(dataset, run, "micro_batch_size=4")
    assert said.startswith("profile of updates 3 to 7: data ")
    assert said.endswith(f"trace in {run / 'profile' / 'trace.json.gz'}")
    seen = phases_in(run / "profile" / "trace.json.gz")
    assert [seen[phase] for phase in PHASES] == [5, 10, 10, 5]
    assert "aten::" in (run / "profile" / "operators.txt").read_text()


def test_the_shares_of_each_record_add_up_and_the_metrics_stay_as_they_are(dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "plain")
    profiled(dataset, tmp_path / "run")
    plain, run = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("plain", "run"))
    assert run == plain
    lines = [json.loads(line) for line in (tmp_path / "run" / "timings.jsonl").read_text().splitlines()]
    updates = [line for line in lines if "samples_per_second" in line]
    measured = {"samples_per_second", "seconds", "cpu_seconds"}
    assert all(line.keys() - {"joules"} == {"step", *measured, *SHARES} for line in updates)
    assert all(sum(line[name] for name in SHARES) == pytest.approx(1, abs=1e-3) for line in updates)


def test_a_start_that_is_short_keeps_what_was_traced(dataset: Path, tmp_path: Path) -> None:
    (said,) = profiled(dataset, tmp_path / "run", stop_at_step=4)
    assert "profile of updates 3 to 4: " in said
    (said,) = profiled(dataset, tmp_path / "other", stop_at_step=2)
    assert said == "no profile was written: its trace would begin at update 3"
    assert not (tmp_path / "other" / "profile").exists()


@pytest.mark.slow
def test_a_continued_run_is_traced_from_where_it_goes_on(dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "run", stop_at_step=10)
    (said,) = profiled(dataset, tmp_path / "run", stop_at_step=18)
    assert "profile of updates 13 to 17: " in said


def test_a_fresh_start_deletes_the_trace(dataset: Path, tmp_path: Path) -> None:
    profiled(dataset, tmp_path / "run", stop_at_step=4)
    clear_run(tmp_path / "run")
    assert list((tmp_path / "run" / "profile").iterdir()) == []


def test_a_disk_that_refuses_the_trace_does_not_end_the_run(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "profile").write_text("a file where the folder would be")
    (said,) = profiled(dataset, run, stop_at_step=9)
    assert said.startswith("no profile was written: ")
    assert (run / "latest.pt").exists()


def test_time_outside_the_phases_does_not_count(tmp_path: Path) -> None:
    profile = Profile(tmp_path, torch.device("cpu"), first_step=1, notify=print)
    for phase, seconds in (("data", 0.01), ("", 0.1), ("forward", 0.03), ("", 0.0)):
        profile.enter(phase)
        time.sleep(seconds)
    shares = profile.shares()
    assert 0.5 < shares["forward_share"] < 0.95
    assert shares["backward_share"] == shares["optimizer_share"] == 0
    assert profile.shares() == {}
    assert NoProfile().shares() == {}
