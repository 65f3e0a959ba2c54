"""What a run shows: whole at 80 columns, with --stop-at-step, without flicker; and how commands end."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.commands import trm_here
from trm_cli.console import progress
from trm_cli.console.views import build
from trm_cli.console.views.runs import training
from trm_cli.data.building.builder_process import BuildProgress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80, highlight=False, _environ={"TERM": "xterm"})
    for module in (training, build):
        monkeypatch.setattr(module, "stderr", lambda: console)
    monkeypatch.setattr("trm_cli.console.progress.stderr", lambda: console)
    return text


def panel(view: training.TrainingView) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(view._panel())
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def view(**more: object) -> training.TrainingView:
    return training.TrainingView(title="tiny", first_step=0, scheduled=["lr"], **more)  # type: ignore[arg-type]


def test_the_bar_ends_where_the_run_is_asked_to_stop(terminal: io.StringIO) -> None:
    made = view(total_steps=50, planned_steps=1000)
    made.stepped(25, {"loss": 1.0, "lr": 1e-3}, 10.0)
    assert "25/50 of 1,000  50%" in panel(made)
    assert "step       25/1,000" in made._line()
    assert "of" not in panel(view(total_steps=50)).split("0/50")[1].split("%")[0]


def test_accuracies_stay_until_there_are_new_ones(terminal: io.StringIO) -> None:
    made = view(total_steps=50)
    made.stepped(1, {"loss": 1.0, "lr": 1e-3, "exact_accuracy": 0.5, "accuracy": 0.75, "q_halt_accuracy": 1.0}, 10.0)
    made.stepped(2, {"loss": 0.5, "lr": 1e-3, "exact_accuracy": None, "accuracy": None, "q_halt_accuracy": None}, 10.0)
    assert "exact 50.0%  token 75.0%  halt 100.0%" in panel(made)


def test_a_first_compilation_is_announced(terminal: io.StringIO) -> None:
    assert "the first update compiles the network" in panel(view(total_steps=50, compiles=True))


def test_the_title_of_an_evaluation_is_wrapped_between_words(
    terminal: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "datasets/" + "long" * 30
    with progress.EvaluationScreen().scoring(f"sudoku-4x4\n5 rows of {path} (test), {'a protocol, ' * 9}", 5):
        pass
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "sudoku-4x4" and path in lines
    assert all(len(line) <= 80 for line in lines if line != path)


def test_the_bar_of_a_build_is_whole(terminal: io.StringIO) -> None:
    with build.BuildView("TRM Vision-Unified (All Modalities)") as made:
        made.build_progress(BuildProgress(1_234, 123_456, "records"))
        made._bar.refresh()
    line = next(line for line in terminal.getvalue().splitlines() if "1,234/123,456" in line)
    for word in ("TRM Vision", "records", "elapsed", "ETA"):
        assert word in line, line


FEW = ["sudoku-4x4", "dataset_args.train=4", "dataset_args.test=2", "dataset_args.num_aug=0"]


@pytest.mark.slow
def test_every_build_ends_with_what_it_did_and_the_next_command(tmp_path: Path) -> None:
    for _ in range(2):
        done = trm_here("build-dataset", *FEW, cwd=tmp_path)
        assert "datasets/sudoku-4x4 is complete: groups train 4, test 2; " in done.stderr
        assert "Next: trm train sudoku-4x4, or trm inspect-dataset datasets/sudoku-4x4" in done.stderr
        done = trm_here("train", *FEW, "--dataset-only", cwd=tmp_path)
        assert "datasets/sudoku-4x4: complete after " in done.stdout
        assert "Next: trm train sudoku-4x4 " in done.stdout


def test_a_run_ends_with_what_it_did_and_the_next_command(trained: Path) -> None:
    done = trm_here("resume", "run", cwd=trained)
    assert "run is complete: " in done.stdout
    assert "Next: trm evaluate run, or trm resume run --extend-epochs 80" in done.stdout
    assert done.stderr.startswith("Command: trm resume run\n")
