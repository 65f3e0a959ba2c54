from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.schedules import Arch, Settings, plan_of, spans
from trm_cli.config.make_plan import make_plan
from trm_cli.schedule.cadence import Cadence
from trm_cli.schedule.comparison import compare
from trm_cli.schedule.plan import DatasetCounts, TrainingPlan
from trm_cli.schedule.plan_warnings import equal_ratio
from trm_cli.schedule.steps import boundary


@pytest.mark.parametrize(
    ("samples", "epochs", "total", "dqn", "expansion", "temperature"),
    [(3_200, 10, 1_000, 100, 500, 1_000), (32_000, 100, 100_000, 10_000, 50_000, 100_000)],
)
def test_worked_examples(samples: int, epochs: int, total: int, dqn: int, expansion: int, temperature: int) -> None:
    plan = plan_of(samples, epochs=epochs)
    assert plan.steps_per_epoch == total // epochs
    assert plan.total_steps == total
    found = spans(plan)
    assert found["dqn_warmup"] == [(0, dqn)]
    assert found["expansion_penalty"] == [(0, expansion)]
    assert found["q_temperature"] == [(0, temperature)]


def test_published_sudoku_run_states_both_numbers_and_warns() -> None:
    plan = plan_of(1000, global_batch_size=768, epochs=50_000)
    assert (plan.total_steps, plan.other_rounding_steps) == (50_000, 65_104)
    published = plan_of(1000, global_batch_size=768, epochs=50_000, step_rounding="whole_run")
    assert (published.total_steps, published.other_rounding_steps) == (65_104, 50_000)
    (warning,) = [w for w in plan.warnings if w.code == "rounding"]
    assert "65,104 (+30.2 %)" in str(warning)


def test_last_step_has_every_end_value_exactly() -> None:
    plan = plan_of(3_200, epochs=10, lr_min_ratio=0.1)
    assert plan.record_at(1000) == {
        "lr": 1e-4 * 0.1,
        "puzzle_emb_lr": 1e-2 * 0.1,
        "expansion_penalty": 0.001,
        "q_temperature": 0.1,
        "epsilon": 0.05,
        "dqn_warmup": 1.0,
    }


def test_only_the_quantities_that_the_architecture_reads() -> None:
    plan = plan_of(3_200, arch=Arch(("puzzle_emb_lr", "lr")))
    assert list(plan.record_at(1)) == ["lr", "puzzle_emb_lr"]
    with pytest.raises(ValueError, match="'mood' is not a scheduled value"):
        plan_of(3_200, arch=Arch(("lr", "mood")))


@given(
    samples=st.fractions(Fraction(1, 3), 500, max_denominator=7),
    batch=st.integers(1, 60),
    epochs=st.integers(1, 60),
    interval=st.integers(1, 70),
    rounding=st.sampled_from(["per_epoch", "whole_run"]),
)
def test_evaluations_against_a_list_of_epochs(
    samples: Fraction, batch: int, epochs: int, interval: int, rounding: str
) -> None:
    plan = plan_of(samples, global_batch_size=batch, epochs=epochs, eval_interval=interval, step_rounding=rounding)
    if rounding == "per_epoch":
        ends = {max(1, int(samples // batch)) * epoch for epoch in range(interval, epochs + 1, interval)}
    else:
        ends = {int(samples * epoch // batch) for epoch in range(interval, epochs + 1, interval)} - {0}
    # The run ends where its epochs end; only a run that is shorter than one batch is rounded up to one step.
    expected = sorted(ends | {plan.total_steps})
    assert list(plan.eval_steps) == expected
    assert [step for step in range(-1, plan.total_steps + 2) if plan.is_eval(step)] == expected
    assert len(plan.eval_steps) == len(expected)
    assert plan.eval_steps[-1] == plan.total_steps
    assert plan.eval_steps[:2] == expected[:2]
    assert plan.eval_steps.longest_gap >= max(b - a for a, b in zip([0, *expected], expected, strict=False))


def test_what_is_kept_for_good_is_saved_and_part_of_the_plan_only_where_it_is_wanted() -> None:
    plan = plan_of(3_200, epochs=10, checkpoint_interval=3, keep_every=4)
    assert plan.milestones is not None
    assert list(plan.milestones) == [400, 800, 1000]
    assert [step for step in (300, 400, 500, 800) if plan.is_checkpoint(step)] == [300, 400, 800]
    assert (plan.is_milestone(400), plan.is_milestone(300)) == (True, False)
    again = TrainingPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    without = plan_of(3_200, epochs=10, checkpoint_interval=3)
    assert without != plan
    assert without.fingerprint() != plan.fingerprint()
    assert "milestones" not in without.to_json()
    with pytest.raises(ValueError, match="keep_every"):
        plan_of(3_200, keep_every=0)


def test_without_a_test_split_nothing_is_evaluated_and_all_else_is_the_same() -> None:
    plan = plan_of(3_200, epochs=10, eval_interval=3)
    without = replace(plan, test_split=False)
    assert without.eval_steps is None
    assert not any(without.is_eval(step) for step in range(plan.total_steps + 1))
    assert without.checkpoint_steps == plan.checkpoint_steps
    assert (without != plan, without.fingerprint() != plan.fingerprint()) == (True, True)
    assert TrainingPlan.from_json(json.loads(json.dumps(without.to_json()))) == without
    assert [row.what for row in compare(plan, without) if row.differs] == ["evaluations", "evaluates every (steps)"]


def test_checkpoints_follow_evaluations_unless_told() -> None:
    assert plan_of(3_200).checkpoint_steps == plan_of(3_200).eval_steps
    plan = plan_of(3_200, epochs=10, checkpoint_interval=3)
    assert list(plan.checkpoint_steps) == [300, 600, 900, 1000]
    assert plan.is_checkpoint(300)
    assert not plan.is_eval(300)


def test_a_plan_of_a_billion_evaluations_is_a_rule() -> None:
    plan = plan_of(1, global_batch_size=1, epochs=10**9, eval_interval=1)
    assert len(plan.eval_steps) == 10**9
    assert plan.eval_steps[10**8] == 10**8 + 1
    assert len(json.dumps(plan.to_json())) < 20_000


def test_cadence_refuses_what_is_no_cadence() -> None:
    with pytest.raises(ValueError, match=r"every 1/2 of 10"):
        Cadence(Fraction(1, 2), 10)
    with pytest.raises(IndexError):
        Cadence(Fraction(2), 10)[5]
    for key in ("eval_interval", "checkpoint_interval", "global_batch_size", "epochs"):
        with pytest.raises(ValueError, match="at least 1"):
            plan_of(3_200, **{key: 0})


def codes(plan: TrainingPlan) -> set[str]:
    return {warning.code for warning in plan.warnings}


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"lr_warmup_ratio": None, "lr_warmup_steps": 50_000}, "never_finishes", "lr stops at 2e-06"),
        ({"dqn_warmup_ratio": None, "dqn_warmup_steps": 5_000}, "never_finishes", "dqn_warmup stops at 0.2"),
        ({"global_batch_size": 3_201}, "batch_larger_than_epoch", "A batch of 3,201 is larger than an epoch of 3,200"),
        ({"eval_interval": 11}, "evaluates_only_at_the_end", "once, after its last step"),
        ({"eval_interval": 3}, "last_interval_is_shorter", "1 epochs after the one before it, not 3"),
        (
            {"expansion_anneal_ratio": None, "expansion_anneal_steps": 290},
            "older_key",
            "expansion_anneal_ratio=0.29 says",
        ),
        ({"dqn_warmup_ratio": 0.0001}, "no_length", "dqn_warmup_ratio 0.0001 of 1,000 steps is less than one step"),
        ({"lr_warmup_ratio": 1.0}, "warmup_is_the_run", "rises until the last step"),
        ({"lr_min_ratio": 1.0}, "flat", "constant after the warm-up"),
        ({"checkpoint_interval": 20, "checkpoint_minutes": None}, "saves_only_at_the_end", "20 epochs of 10"),
        ({"checkpoint_minutes": 150}, "work_at_risk", "up to 2.5 hours"),
    ],
)
def test_what_to_know_before_paying(settings: dict[str, object], code: str, said: str) -> None:
    calm = {"epochs": 10, "lr_min_ratio": 0.1, "eval_interval": 5}
    assert codes(plan_of(3_200, **calm)) == set()
    found = [warning for warning in plan_of(3_200, **(calm | settings)).warnings if warning.code == code]
    assert said in str(found[0])
    assert found[0].key in Settings.__dataclass_fields__


def test_a_phase_switched_off_on_purpose_is_no_warning() -> None:
    off = plan_of(3_200, epochs=10, lr_min_ratio=0.1, dqn_warmup_ratio=0.0, lr_warmup_ratio=0, eval_interval=5)
    assert codes(off) == set()
    assert off.record_at(0)["lr"] == off.record_at(1)["dqn_warmup"] * 1e-4 == 1e-4


def test_speed_turns_a_cadence_into_hours() -> None:
    settings = Settings(epochs=10, checkpoint_minutes=None, lr_min_ratio=0.1, eval_interval=5)
    facts = DatasetCounts(3_200, 1)
    assert "work_at_risk" not in codes(make_plan(settings, facts, seconds_per_step=14.0))
    assert "work_at_risk" in codes(make_plan(settings, facts, seconds_per_step=15.0))
    quick = replace(settings, checkpoint_minutes=15.0)
    assert "work_at_risk" not in codes(make_plan(quick, facts, seconds_per_step=15.0))


@given(st.integers(1, 10**6), st.data())
def test_the_ratio_that_equals_a_step(total: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, total))
    assert boundary(total, equal_ratio(step, total)) == step


def test_json_reads_back_to_an_equal_plan() -> None:
    plan = make_plan(
        Settings(lr_min_ratio=1 / 3, expansion_anneal_ratio=None, expansion_anneal_steps=77),
        DatasetCounts(960, 3988 / 960, "datasets/arc/train/dataset.json"),
    )
    back = TrainingPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert back == plan
    assert back.to_json() == plan.to_json()
    assert back.fingerprint() == plan.fingerprint()
    assert [back.record_at(step) for step in range(100)] == [plan.record_at(step) for step in range(100)]


@given(st.fractions(Fraction(1, 5), 2000, max_denominator=1500), st.integers(1, 300), st.floats(1e-9, 1.0))
def test_any_plan_survives_json(mean: Fraction, groups: int, ratio: float) -> None:
    plan = make_plan(Settings(q_temperature_anneal_ratio=ratio), DatasetCounts(groups, mean))
    assert TrainingPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_fingerprint_is_about_deeds_not_words() -> None:
    plan = plan_of(3_200, epochs=10)
    spelt = make_plan(
        Settings(epochs=10, dqn_warmup_ratio=None, dqn_warmup_steps=100),
        DatasetCounts(1, Decimal("3200.0"), "elsewhere"),
    )
    assert spelt == plan
    assert spelt.fingerprint() == plan.fingerprint()
    for other in (
        {"lr": 2e-4},
        {"epochs": 11},
        {"eval_interval": 5},
        {"step_rounding": "whole_run"},
        {"dqn_warmup_ratio": 0.101},
    ):
        changed = plan_of(3_200, **({"epochs": 10} | other))
        assert changed.fingerprint() != plan.fingerprint()
        assert any(row.differs for row in compare(plan, changed))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"schema_version": 2}, "schema_version 2"),
        ({"total_steps": 7}, "says 7 steps, but its own counts give 1000"),
        ({"quantities": [{"name": "lr"}]}, "incomplete"),
        ({"quantities": None}, "incomplete"),
        ({"dataset": []}, "incomplete"),
        ({"epochs": "ten"}, "incomplete"),
        ({"eval_interval": 3, "global_batch_size": 0}, "global_batch_size is 0"),
        ({"epochs": 20, "total_steps": 2000}, "fingerprint does not fit"),
        ({"step_rounding": "up"}, "step_rounding is 'up'"),
    ],
)
def test_a_damaged_plan_is_refused_in_a_sentence(damage: dict[str, object], said: str) -> None:
    document = plan_of(3_200, epochs=10).to_json() | damage
    with pytest.raises(ValueError, match=said):
        TrainingPlan.from_json(document)


def test_compare_puts_two_plans_side_by_side() -> None:
    plan = plan_of(3_200, epochs=10)
    assert not any(row.differs for row in compare(plan, plan))
    other = plan_of(3_200, epochs=10, arch=Arch(("lr", "puzzle_emb_lr")), lr=2e-4)
    rows = {(row.what, row.left, row.right): row for row in compare(plan, other) if row.differs}
    assert {what for what, *_ in rows} == {"lr", "expansion_penalty", "q_temperature", "epsilon", "dqn_warmup"}
    assert all(right is None for what, _, right in rows if what != "lr")
