"""The check of a CUDA machine, tried on the processor at toy size: nothing that fails takes the other figures along."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu_check
from benchmarks.gpu import parity, runs
from benchmarks.gpu.cases import CASES, FAMILIES, MODES, Case, Updates
from benchmarks.gpu.parity import StepValues, compared
from benchmarks.inputs.made_up import MadeUpRun
from trm_cli.data.stream.vocabulary import VOCAB_SIZE

TOY = (
    "arch.hidden_size=16", "arch.num_heads=2", "arch.puzzle_emb_ndim=16", "arch.puzzle_emb_len=1", "arch.H_cycles=2",
    "arch.L_cycles=1", "arch.L_layers=1", "threads=1",
)  # fmt: skip


TRAINED = {"exit_codes": [75, 0], "steps": 9, "exact_accuracy": 0.5, "aim": 0.9, "agrees": True}


def test_a_case_without_memory_is_an_entry_and_each_case_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "check.json"
    lengths: list[int] = []

    class Small(Updates):
        """A GPU that holds everything but float16."""

        def __init__(self, task: MadeUpRun, case: Case) -> None:
            lengths.append(len(json.loads(out.read_text())["speed"]))
            if task.machine.precision.value == "float16":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 ...")
            super().__init__(task, case)

    monkeypatch.setattr(gpu_check, "CASES", {"sudoku mlp": CASES["sudoku mlp"]})
    monkeypatch.setattr(gpu_check, "FAMILIES", {})
    monkeypatch.setattr(gpu_check, "Updates", Small)
    monkeypatch.setattr(gpu_check, "train_and_go_on", lambda way, seconds: TRAINED)
    line = ["--device", "cpu", "--batch", "4", "--steps", "1", "--modes", "eager", "--out", str(out), *TOY]
    assert gpu_check.main(line) == 1
    report = json.loads(out.read_text())
    assert lengths == [0, 0, 1, 2], "a report is there before the next case begins"
    assert [one["agrees"] for one in report["parity"]] == [True] * 3
    by_precision = {one["precision"]: one for one in report["speed"]}
    assert by_precision["float16"]["error"] == "out of memory"
    assert "Tried to allocate" in by_precision["float16"]["message"]
    for name in ("bfloat16", "float32"):
        assert {"peak_gib", "estimate_gib", "share_of_matmul", "samples_per_second"} <= by_precision[name].keys()
    reached: dict[str, Any] = {one["figure"]: one for one in report["aims"]}
    assert (reached["steps_per_second"]["aim"], reached["samples_per_second"]["best"]) == (14.0, None)
    assert max(len(text) for text in capsys.readouterr().out.splitlines()[1:]) <= 120


@pytest.mark.slow
def test_capsules_are_a_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "CASES", {"capsules": CASES["capsules"]})
    monkeypatch.setattr(gpu_check, "FAMILIES", {})
    monkeypatch.setattr(gpu_check, "PRECISIONS", ("float32",))
    monkeypatch.setattr(gpu_check, "train_and_go_on", lambda way, seconds: TRAINED)
    toy = ("arch.hidden_size=32", "arch.num_heads=2", "arch.puzzle_emb_ndim=32", "arch.text_layers=1", *TOY[4:])
    line = ["--device", "cpu", "--batch", "48", "--steps", "1", "--modes", "eager", "--out", str(tmp_path / "c.json")]
    assert gpu_check.main([*line, *toy]) == 0
    (row,) = json.loads((tmp_path / "c.json").read_text())["speed"]
    assert row["batch"] == 2 and row["samples_per_second"] > 0 and row["share_of_matmul"] > 0
    peaks = [{"case": "capsules", "peak_gib": peak} for peak in (20.0, 12.0)]
    assert [one["reached"] for one in gpu_check.aims(peaks)] == [None, None, None, True]
    assert [one["reached"] for one in gpu_check.aims(peaks[:1])] == [None, None, None, False]


def test_a_wrong_kernel_is_told_from_rounding() -> None:
    wanted = StepValues(torch.ones(2, 3, 4), torch.tensor(2.0), torch.arange(1.0, 9.0))
    assert compared(wanted, wanted, "float32")["agrees"]
    assert not compared(wanted._replace(loss=torch.tensor(2.2)), wanted, "bfloat16")["agrees"]
    assert not compared(wanted._replace(gradient=wanted.gradient.roll(1)), wanted, "bfloat16")["agrees"]
    assert not compared(wanted._replace(loss=torch.tensor(torch.nan)), wanted, "float16")["agrees"]
    assert set(parity.LIMITS) == set(gpu_check.PRECISIONS)


def test_without_a_card_there_is_nothing_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert gpu_check.main(["--out", str(tmp_path / "check.json")]) == 0
    assert "nothing to check" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_what_there_is_no_time_for_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "CASES", {"sudoku mlp": CASES["sudoku mlp"]})
    monkeypatch.setattr(gpu_check, "FAMILIES", {})
    out = tmp_path / "check.json"
    gpu_check.main(["--device", "cpu", "--batch", "4", "--steps", "1", "--seconds", "0.001", "--out", str(out), *TOY])
    report = json.loads(out.read_text())
    assert [report[kind] for kind in gpu_check.KINDS] == [[]] * 5
    assert report["not_run"][0] == "updates: sudoku mlp, bfloat16, eager" and len(report["not_run"]) == 13
    assert report["not_run"][-2:] == [
        "training: sudoku-4x4, bfloat16, eager",
        "reproducibility: sudoku mlp, bfloat16, eager",
    ]


def test_a_case_that_takes_too_long_is_stopped() -> None:
    def slow() -> dict[str, Any]:
        time.sleep(20)
        return {}

    way = gpu_check.Way("cpu", "float32")
    entry = gpu_check.attempt(gpu_check.Job("speed", "slow", way, 0.1, slow), 0.1)
    assert (entry["error"], entry["message"]) == ("TimeoutError", "stopped after 0 s")


def test_two_runs_on_a_processor_are_the_same_and_a_difference_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    way = gpu_check.Way("cpu", "float32", "eager", TOY)
    found = runs.differences(CASES["sudoku attention"], way, 4)
    assert found["differs"] == [] and found["parts"] > 30
    shifts = iter((0.0, 1.0))
    original = runs._state_after_updates

    def other(case: Case, way: gpu_check.Way, count: int) -> dict[str, torch.Tensor]:
        state = original(case, way, count)
        state[next(name for name in state if "lm_head" in name)].add_(next(shifts))
        return state

    monkeypatch.setattr(runs, "_state_after_updates", other)
    assert len(runs.differences(CASES["sudoku attention"], way, 4)["differs"]) == 1


#: Cases of the same names and kinds as those of a card, as small as they get.
LITTLE = {
    "sudoku mlp": Case("trm_sudoku", 16, 11, 1),
    "sudoku attention": Case("trm_sudoku_att", 16, 11, 1),
    "30x30 attention": Case("trm_arc", 36, 12, 8),
    "capsules": Case("multimodal_hesc_mini", 576, VOCAB_SIZE, 24),
}
LITTLE_FAMILIES = {name: dataclasses.replace(case, length=16) for name, case in FAMILIES.items()}
LITTLE_WORDS = ("arch.hidden_size=16", "arch.num_heads=2", "arch.puzzle_emb_ndim=16", "threads=1")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch looks at that of what it traces
def test_all_of_it_at_toy_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "CASES", LITTLE)
    monkeypatch.setattr(gpu_check, "FAMILIES", LITTLE_FAMILIES)
    monkeypatch.setattr(gpu_check, "train_and_go_on", lambda way, seconds: runs.train_and_go_on(way, 60))
    out = tmp_path / "check.json"
    line = ["--device", "cpu", "--batch", "48", "--steps", "1", "--seconds", "2000", "--out", str(out)]
    gpu_check.main([*line, *LITTLE_WORDS])
    report = json.loads(out.read_text())
    assert report["not_run"] == []
    assert [one for kind in gpu_check.KINDS for one in report[kind] if "error" in one] == []
    assert [len(report[kind]) for kind in gpu_check.KINDS] == [7, 12 + 6, 12 + 6, 1, 4]
    assert {one["mode"] for one in report["parity"]} == {one["mode"] for one in report["speed"]} == set(MODES)
    # Rounding grows with every cycle: at this size that of half precisions may pass for a wrong kernel.
    assert all(one["agrees"] for one in report["parity"] if one["precision"] == "float32")
    assert report["training"][0]["agrees"] and report["training"][0]["steps"] > 0
    assert all(one["differs"] == [] for one in report["reproducibility"])


@pytest.mark.slow
def test_it_computes_as_a_t4_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "CASES", {"sudoku attention": LITTLE["sudoku attention"]})
    monkeypatch.setattr(gpu_check, "FAMILIES", {})
    monkeypatch.setattr(gpu_check, "train_and_go_on", lambda way, seconds: TRAINED)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    out = tmp_path / "check.json"
    line = ["--t4", "--device", "cpu", "--batch", "4", "--steps", "1", "--modes", "eager", "--out", str(out)]
    try:
        assert gpu_check.main([*line, *LITTLE_WORDS]) == 0, out.read_text()
        assert torch.cuda.get_device_capability() == (7, 5)
    finally:
        torch.backends.cuda.enable_flash_sdp(True)
    report = json.loads(out.read_text())
    assert report["as"] == "T4"
    assert {one["precision"] for kind in gpu_check.KINDS for one in report[kind]} == {"float16", "float32"}


def test_a_training_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_GRACE", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    assert runs._run_for([sys.executable, "-c", deaf], 3, tmp_path) == -9
    assert runs._run_for([sys.executable, "-c", "raise SystemExit(4)"], 30, tmp_path) == 4


@pytest.mark.slow
def test_a_training_is_stopped_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    way = gpu_check.Way("cpu", "float32", "eager", ("threads=1", "checkpoint_minutes=0.01"))
    found = runs.train_and_go_on(way, 90)
    assert found["agrees"] and found["steps"] > 20
