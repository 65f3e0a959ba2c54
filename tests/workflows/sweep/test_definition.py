"""The file of a sweep: what it means, and what is said about its mistakes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from trm_cli.config.compose import compose
from trm_cli.errors import ConfigError, UsageError
from trm_cli.workflows.sweep.definition import Range, SweepFile, read_sweep
from trm_cli.workflows.sweep.trials import planned_trials, seal


def _read(folder: Path, text: str) -> SweepFile:
    path = folder / "wide.yaml"
    path.write_text(text)
    return read_sweep(path)


def test_a_grid_is_every_combination_in_the_order_of_the_file(tmp_path: Path) -> None:
    sweep = _read(tmp_path, "model: sudoku-4x4\nsearch:\n  arch.L_cycles: [3, 6]\n  lr: [1e-3, 2e-3, 3e-3]\n")
    trials = planned_trials(sweep)
    assert [tuple(trial.settings.values()) for trial in trials] == [
        (3, 1e-3), (3, 2e-3), (3, 3e-3), (6, 1e-3), (6, 2e-3), (6, 3e-3),
    ]  # fmt: skip
    assert [str(trial.path) for trial in trials[:2]] == ["checkpoints/wide/trial-000", "checkpoints/wide/trial-001"]


def test_a_trial_is_the_run_of_its_settings(tmp_path: Path) -> None:
    sweep = _read(tmp_path, "model: sudoku-4x4\nsettings: {epochs: 5, arch: {hidden_size: 32}, lr: 1e-2}\n"
                            "search: {lr: [1e-3], arch.L_cycles: [3, 6]}\n")  # fmt: skip
    trial = planned_trials(sweep)[1]
    config = trial.resolved(sweep).config
    assert (config.epochs, config.lr, config.arch.hidden_size) == (5, 1e-3, 32)
    assert config.model_dump()["arch"]["L_cycles"] == 6
    words = list(trial.job(sweep).command)
    again = compose("sudoku-4x4", words[words.index("sudoku-4x4") + 1 :]).config
    assert again == config


def test_random_values_depend_on_seed_and_trial_alone_and_fill_their_range(tmp_path: Path) -> None:
    text = (
        "model: sudoku-4x4\nmethod: random\ntrials: {}\nseed: {}\nsearch:\n  lr: {{low: 1e-4, high: 1e-2, log: true}}\n"
        "  arch.L_cycles: {{low: 1, high: 6, whole: true}}\n  ema: [true, false]\n"
    )
    many, few = (planned_trials(_read(tmp_path, text.format(count, 0))) for count in (200, 3))
    assert [trial.settings for trial in many[:3]] == [trial.settings for trial in few]
    assert planned_trials(_read(tmp_path, text.format(3, 1)))[0].settings != few[0].settings
    rates = [math.log10(float(trial.settings["lr"])) for trial in many]
    assert -4 <= min(rates) < -3.9 and -2.1 < max(rates) <= -2 and abs(sum(rates) / 200 + 3) < 0.15
    assert {trial.settings["arch.L_cycles"] for trial in many} == {1, 2, 3, 4, 5, 6}
    assert {trial.settings["ema"] for trial in many} == {True, False}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("modle: sudoku-4x4\nsearch: {lr: [1]}\n", 1, "did you mean `model`"),
        ("model: sudoku-4x4\n", 1, "`search` must be a mapping"),
        ("model: sudoku-4x4\nsearch:\n  lr: 3\n", 3, "must be a list of different values"),
        ("model: sudoku-4x4\nsearch:\n  lr: [1, 1]\n", 3, "must be a list of different values"),
        ("model: sudoku-4x4\nsearch:\n  lr: {low: 1, high: 2}\n", 3, "must be a list of values in a grid"),
        ("model: sudoku-4x4\nmethod: random\nsearch: {lr: [1, 2]}\n", 1, "`trials` must be how many to try"),
        ("model: sudoku-4x4\nmethod: random\ntrials: 3\nsearch:\n  lr: {low: 2, high: 1}\n", 5, "low below high"),
        ("model: sudoku-4x4\nmethod: random\ntrials: 3\nsearch:\n  lr: {low: 1, hi: 2}\n", 5, "did you mean `high`"),
        ("model: sudoku-4x4\nmethod: bayes\nsearch: {lr: [1]}\n", 2, "one of grid, random, optuna"),
        ("model: sudoku-4x4\nsearch:\n  checkpoint_path: [a, b]\n", 3, "cannot be searched"),
        ("model: sudoku-4x4\nobjective: loss\nsearch: {lr: [1]}\n", 2, "`objective` must be one of"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _read(tmp_path, text)
    assert any(f":{line}:" in one.where and said in f"{one.message} {one.hint}" for one in caught.value.problems), str(
        caught.value
    )


def test_a_directory_keeps_its_sweep_and_only_trials_are_added(tmp_path: Path) -> None:
    def sweep(**changed: object) -> SweepFile:
        given: dict[str, object] = {
            "model": "sudoku-4x4", "checkpoint_path": str(tmp_path), "method": "random", "trials": 2,
            "search": {"lr": Range(1e-4, 1e-3)},
        }  # fmt: skip
        return SweepFile(**{**given, **changed})  # type: ignore[arg-type]

    seal(sweep())
    seal(sweep())
    seal(sweep(trials=3))
    for changed in ({"trials": 2}, {"trials": 4, "seed": 1}, {"search": {"lr": (1, 2)}, "trials": 3}):
        with pytest.raises(UsageError, match="holds a sweep with another"):
            seal(sweep(**changed))


def test_several_values_on_the_command_line_point_to_a_sweep() -> None:
    for word in ("arch.L_cycles=3,6", "lr=1e-3,1e-4"):
        with pytest.raises(ConfigError) as caught:
            compose("sudoku-4x4", [word])
        assert "trm sweep FILE.yaml" in caught.value.problems[0].hint
    with pytest.raises(ConfigError) as caught:
        compose("sudoku-4x4", ["epochs=50,000"])
    assert caught.value.problems[0].hint == "write 50000"
