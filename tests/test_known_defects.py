"""Which test fails when a defect of the capsule model's predecessor is put back: one row each, numbers as in comments.

That the named tests exist is checked here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent

# number -> (the defect, the tests that see it)
DEFECTS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: ("keys of a configuration that nothing read, unknown keys that nobody refused", (
        "config/test_shipped.py::test_every_key_is_read_by_the_program",
        "config/test_compose.py::test_message",
    )),
    2: ("an answer of another length than the target", (
        "models/networks/test_every_architecture.py::test_a_training_step",
    )),
    3: ("presets that crashed in their first step; parameters that never got a gradient", (
        "models/networks/test_every_architecture.py::test_a_training_step",
        "models/hesc/test_model.py::test_a_gradient_reaches_every_parameter_within_a_few_steps",
    )),
    4: ("steps counted twice, so that half of them were done", (
        "models/hesc/test_model.py::test_steps_go_up_by_one_and_end_at_the_limit_of_the_kind",
        "models/supervision/test_halting.py::test_evaluation_runs_exactly_halt_max_steps",
    )),
    5: ("another order of actions in head, policy and replay", (
        "models/hesc/test_control.py::test_the_order_of_actions_is_defined_once",
        "models/hesc/test_model.py::test_replay_never_joins_two_episodes_and_holds_what_was_done",
    )),
    6: ("annealed values that counted on their own and were others after a resume", (
        "models/hesc/test_model.py::test_no_value_of_the_clock_is_kept",
        "training/test_capsule_run.py::test_the_log_the_plan_and_what_the_model_is_given_agree_at_every_step",
        "training/test_exact_resume.py::test_a_continued_capsule_run_equals_an_uninterrupted_one",
    )),
    7: ("a temperature inside an argmax", ("models/hesc/test_control.py::test_temperature_changes_what_is_sampled",)),
    8: ("a leap at the end of annealing", (
        "schedule/test_curves.py::test_the_exponential_curve_arrives_without_a_leap",
        "schedule/test_curves.py::test_values_known_beforehand",
        "schedule/test_curves.py::test_expansion_penalty_known_beforehand",
    )),
    9: ("more planned steps than batches", (
        "training/test_loop.py::test_the_optimizer_steps_as_often_as_planned",
        "data/stream/test_stream_dataset.py::test_an_epoch_takes_every_record_once",
    )),
    10: ("parts lost when chunks were written, or by a kill", (
        "builders/test_stream_interrupted.py::test_the_last_chunk_is_written_however_few_parts_it_has",
        "builders/test_stream_interrupted.py::test_killed_builds_end_with_the_same_bytes",
    )),
    11: ("different grids drawn alike, colours by rank", (
        "models/hesc/test_kinds.py::test_every_field_matters_to_its_kind_alone",
    )),
    12: ("ARC pairs missing or with their input as label", (
        "builders/test_stream_sources.py::test_arc_pairs_are_the_published_numbers",
        "data/stream/test_stream_dataset.py::test_input_answer_and_demonstrations_are_those_of_the_task_under_one_augmentation",
    )),
    13: ("an augmentation of the input alone", (
        "data/stream/test_stream_dataset.py::test_input_answer_and_demonstrations_are_those_of_the_task_under_one_augmentation",
    )),
    14: ("tasks in two splits", (
        "data/stream/test_stream_dataset.py::test_no_task_story_or_font_of_the_test_split_is_trained_on",
    )),
    15: ("values cast to another type by the loader", (
        "data/stream/test_stream_dataset.py::test_fields_are_what_a_model_expects",
    )),
    16: ("chunks that appear during training were not used", (
        "data/building/test_training_while_building.py::test_batches_beside_the_builder_are_those_of_the_finished_build",
    )),
    17: ("waiting for ever for a builder that died", (
        "data/stream/test_stream_dataset.py::test_a_builder_that_died_ends_the_wait",
        "data/stream/test_stream_dataset.py::test_a_builder_that_failed_is_quoted",
    )),
    # The replay is uniform with a recent part, not prioritised; the only limit of age is its capacity.
    18: ("'recent' transitions that were not; transitions older than their limit", (
        "models/hesc/test_control.py::test_recent_samples_are_the_newest",
        "models/hesc/test_control.py::test_all_that_is_kept_can_be_sampled_and_nothing_older",
    )),
    19: ("a target network that never moved", (
        "models/hesc/test_control.py::test_the_target_moves_by_tau",
        # These see that nothing calls it.
        "training/test_update.py::test_slices_of_the_capsule_model_learn_and_fill_its_replay",
        "training/test_exact_resume.py::test_a_continued_capsule_run_equals_an_uninterrupted_one",
    )),
    20: ("transitions across two episodes", (
        "models/hesc/test_model.py::test_replay_never_joins_two_episodes_and_holds_what_was_done",
    )),
    21: ("a warm-up that froze nothing", (
        "models/hesc/test_model.py::test_warm_up_fills_the_replay_and_does_not_teach",
        "models/hesc/test_model.py::test_the_q_loss_teaches_the_q_network_alone",
    )),
    22: ("a commitment loss that moved the book, codes that shrank when unused", (
        # There is no book of codes any more; every parameter that is there learns from the loss.
        "models/hesc/test_model.py::test_a_gradient_reaches_every_parameter_without_a_part",
    )),
    23: ("thoughts that were not fed back", (
        "models/hesc/test_workspace.py::test_thoughts_feed_back_and_paths_differ",
        "models/hesc/test_workspace.py::test_a_thought_reaches_the_answer_from_the_first_update",
    )),
    24: ("tokens ahead that could be looked up", (
        "models/hesc/test_causality.py::test_a_byte_further_ahead_is_told_from_the_bytes_before_it",
        "models/hesc/test_causality.py::test_later_bytes_change_nothing_before_them",
        "models/networks/test_causal.py::test_a_token_changes_nothing_before_it",
    )),
    25: ("an EXPAND without effect or price", (
        "models/hesc/test_workspace.py::test_opened_children_change_the_next_step",
        "models/hesc/test_control.py::test_what_can_be_done",
    )),
    26: ("parameters clipped twice or never", (
        "models/networks/test_every_architecture.py::test_clipping_groups_of_a_shipped_size_partition_its_parameters",
    )),
    27: ("averaged weights saved in the place of the raw ones", (
        "training/state/test_ema.py::test_swapped_evaluates_the_average_and_restores_the_raw_weights_to_the_bit",
        "training/test_exact_resume.py::test_a_continued_run_equals_an_uninterrupted_one",
    )),
    28: ("an interrupt that lost the run, or could not end it", (
        "commands/test_train.py::test_a_stopped_process_is_continued_to_the_same_bits",
        "training/test_signals.py::test_a_second_interrupt_does_not_wait",
    )),
    29: ("a question on the terminal for a damaged checkpoint", (
        "commands/test_train.py::test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used",
    )),
    30: ("no evaluation unless a test path was given", (
        "training/test_loop.py::test_evaluations_and_checkpoints_come_where_the_plan_says",
        "training/test_capsule_run.py::test_a_mixed_run_is_judged_by_its_puzzles",
    )),
    31: ("every logged value divided by a count", (
        "training/test_step.py::test_each_sum_is_divided_by_what_it_was_summed_over",
        "training/test_step.py::test_grids_and_texts_are_measured_apart",
        "training/test_capsule_run.py::test_the_log_the_plan_and_what_the_model_is_given_agree_at_every_step",
    )),
    32: ("parameters that nobody could account for", (
        "models/hesc/test_sizes.py::test_sizes_are_pinned_by_component",
    )),
}  # fmt: skip


def functions_of(path: Path) -> set[str]:
    """Names of the test functions of a file, those of its classes included."""
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("number", DEFECTS)
def test_the_tests_that_see_it_exist(number: int) -> None:
    _, names = DEFECTS[number]
    assert names
    for name in names:
        file, _, function = name.partition("::")
        assert function in functions_of(ROOT / file), name


def test_none_is_forgotten() -> None:
    assert list(DEFECTS) == list(range(1, 33))
