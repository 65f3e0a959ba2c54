"""What a change of each key means for a run that goes on: `free` leaves what is planned as it is, `replan` does not."""

from __future__ import annotations

import pytest

from tests.support.runs import EVERY_PART
from trm_cli.config.compose import compose
from trm_cli.config.make_plan import make_plan
from trm_cli.config.schema import RunConfig
from trm_cli.keys import resume_class
from trm_cli.schedule.plan import DatasetCounts
from trm_cli.training.run.config_drift import EFFECTS

#: Another value of every key of a run, grouped by what it changes.
WHERE_AND_WHEN = (
    "data_paths=[elsewhere]", "data_paths_test=[elsewhere]", "eval_interval=3", "eval_batches=2", "eval_batch_size=7",
    "log_interval=7", "checkpoint_interval=4", "checkpoint_minutes=1.5", "keep_checkpoints=9", "keep_every=5",
    "checkpoint_path=elsewhere", "load_checkpoint=elsewhere.pt", "init_from=elsewhere.pt", "puzzle_emb_init=zero",
    "save_carry=false", "nonfinite_limit=8", "device=mps",
    "precision=bfloat16", "micro_batch_size=2", "activation_checkpointing=true", "compile=true", "sharding=fsdp",
    "deterministic=true",
    "threads=2", "wandb=offline", "wandb_project=other", "tensorboard=true", "profile=true",
    "price_per_hour=2.5",
)  # fmt: skip
CLOCK = (
    "epochs=21", "step_rounding=whole_run", "lr=0.5", "lr_min_ratio=0.5", "lr_warmup_ratio=0.5", "lr_warmup_steps=9",
    "puzzle_emb_lr=0.5", "dqn_warmup_ratio=0.5", "dqn_warmup_steps=9", "expansion_penalty_schedule=linear",
    "expansion_penalty_start=0.5", "expansion_penalty_end=0.05", "expansion_anneal_ratio=0.9",
    "expansion_anneal_steps=9", "q_temperature_schedule=linear", "q_temperature_start=0.5", "q_temperature_end=0.2",
    "q_temperature_anneal_ratio=0.3", "q_temperature_anneal_steps=9", "epsilon_start=0.9", "epsilon_end=0.2",
    "epsilon_anneal_ratio=0.9", "ema_start_ratio=0.5",
)  # fmt: skip
OPTIMIZER = ("beta1", "beta2", "weight_decay", "puzzle_emb_weight_decay", "grad_clip", "ema_rate", "freeze_weights")
ANOTHER_RUN = ("arch", "global_batch_size", "seed", "optimizer", "ema")


def clock(*words: str) -> list[object]:
    """How many updates, and every scheduled number of each of them, with these settings."""
    base = ["arch=multimodal_hesc_mini", *EVERY_PART, "arch.puzzle_emb_ndim=128", "global_batch_size=16", "epochs=20"]
    config = compose("sudoku-4x4", [*base, *words]).config
    plan = make_plan(config, DatasetCounts(40, 1.0, "test"))
    return [plan.total_steps, *(plan.record_at(step) for step in range(1, plan.total_steps + 1))]


def resume_class_of(name: str) -> str:
    return resume_class(RunConfig.model_fields[name])


def test_every_key_of_a_run_is_looked_at() -> None:
    named = [word.partition("=")[0] for word in (*WHERE_AND_WHEN, *CLOCK)]
    assert sorted(["model", *named, *OPTIMIZER, *ANOTHER_RUN]) == sorted(RunConfig.model_fields)
    assert {resume_class_of(name) for name in OPTIMIZER} == {"replan"}
    assert {resume_class_of(name) for name in ANOTHER_RUN if name != "arch"} == {"fatal"}


def test_what_is_free_changes_no_update_of_the_plan() -> None:
    before = clock()
    for word in WHERE_AND_WHEN:
        assert clock(word) == before, word
        assert resume_class_of(word.partition("=")[0]) == "free", word


@pytest.mark.parametrize("word", CLOCK)
def test_what_changes_the_plan_must_be_asked_for(word: str) -> None:
    assert clock(word) != clock()
    assert resume_class_of(word.partition("=")[0]) == "replan"


def test_nothing_is_promised_that_another_precision_would_break() -> None:
    assert EFFECTS["free"] == "may change: the plan stays the same"
    for name, said in (
        ("precision", "rounds otherwise"),
        ("micro_batch_size", "slice by slice"),
        ("save_carry", "differs"),
    ):
        assert said in str(RunConfig.model_fields[name].description), name
