"""Puzzles and texts of one evaluation are told apart: text costs bits, and only puzzles are right or wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dataset_builders import text as text_builder
from tests.support.runs import records, train
from trm_cli.console.views.runs.training import evaluation_lines
from trm_cli.data.files.metadata import read_metadata
from trm_cli.data.text.labels import TextLabels, text_labels
from trm_cli.evaluation.scores.accuracy import Accuracy, evaluate
from trm_cli.models.supervision.carry import empty_carry
from trm_cli.models.supervision.outputs import Outputs
from trm_cli.workflows.scores.evaluate import run_evaluation
from trm_cli.workflows.scores.evaluation_subject import EvaluationRequest

BYTES = TextLabels(2, 6, True)


class Guesser(nn.Module):
    """Gives every label of 8 possible ones the same probability, and answers 7, always sure of itself."""

    halt_max_steps = 2
    label_field = "labels"

    def initial_carry(self, batch: dict[str, Tensor]) -> Any:
        return empty_carry(batch, {})

    def advance(self, carry: Any, batch: dict[str, Tensor]) -> tuple[Any, Outputs]:
        rows, length = batch["labels"].shape
        return carry, Outputs(torch.zeros(rows, length, 8), torch.ones(rows), torch.zeros(rows))

    def answer(self, outputs: Outputs) -> Tensor:
        return torch.full(outputs.logits.shape[:2], 7)

    def label_nats(self, outputs: Outputs, labels: Tensor) -> Tensor:
        return math.log(8) * (labels != -100)


# Two puzzles (the first right, 7 is no text), two texts of 2 and 3 bytes (the first with its end mark), a padding row.
LABELS = np.array([[7, 7, 7, -100], [7, 6, 7, 7], [2, 3, 1, -100], [-100, 5, 5, 5], [-100] * 4], dtype=np.int32)


def scored(rows: slice, text: TextLabels | None) -> Accuracy:
    labels = LABELS[rows]
    batch = {"labels": labels, "valid": (labels != -100).any(1)}
    return evaluate(Guesser(), [batch], torch.device("cpu"), text=text)


def test_puzzles_are_right_or_wrong_and_texts_cost_bits() -> None:
    result = scored(slice(None), BYTES)
    assert (result.count, result.text_rows) == (2, 2)
    assert (result.exact_accuracy, result.q_halt_accuracy) == (0.5, 0.5)
    assert result.token_accuracy == pytest.approx((1 + 3 / 4) / 2)
    assert result.bits_per_token == pytest.approx(3.0)
    assert result.bits_per_byte == pytest.approx(3.0 * 6 / 5)
    assert (result.judged_by, result.score) == ("exact_accuracy", pytest.approx(0.5, abs=1e-5))


def test_text_alone_is_judged_by_its_bits() -> None:
    result = scored(slice(2, 5), BYTES)
    assert (result.count, result.text_rows, result.judged_by) == (2, 2, "bits_per_byte")
    assert result.score == pytest.approx(2**-3.6)
    tokens = scored(slice(2, 5), replace(BYTES, bytes=False))
    assert (tokens.bits_per_byte, tokens.judged_by) == (None, "bits_per_token")
    assert tokens.score == pytest.approx(2**-3)


def test_without_text_nothing_costs_bits() -> None:
    result = scored(slice(0, 2), None)
    assert (result.count, result.text_rows, result.bits_per_token, result.bits_per_byte) == (2, 0, None, None)


def test_as_many_texts_as_puzzles_are_not_text_alone() -> None:
    assert scored(slice(0, 4), BYTES).score == pytest.approx(0.5, abs=1e-5)


def test_text_decides_between_equal_puzzles_alone() -> None:
    result = scored(slice(None), BYTES)
    better_text = replace(result, bits_per_byte=2.0)
    better_puzzles = replace(result, exact_accuracy=0.50001, bits_per_byte=20.0)
    assert result.score < better_text.score < better_puzzles.score
    # Among equal exact accuracies the cells decide, a millionth each.
    assert scored(slice(0, 2), None).score == pytest.approx(0.5 + 0.875e-6, abs=1e-12)


def test_the_screen_says_what_was_judged() -> None:
    both = evaluation_lines(1200, scored(slice(None), BYTES), True)
    assert both == [
        "step    1,200  test: exact  50.00%  token  87.50%  of 2 puzzles  (best so far)",
        "                     3.600 bits per byte of 2 texts",
    ]
    alone = evaluation_lines(1200, scored(slice(2, 5), BYTES), True)
    assert alone == ["step    1,200  test: 3.600 bits per byte of 2 texts  (best so far)"]


@pytest.mark.slow
def test_a_run_on_text_keeps_the_checkpoint_with_the_fewest_bits(tmp_path: Path) -> None:
    data = tmp_path / "stories"
    flags = ["--output-dir", str(data), "--limit", "60", "--seq-len", "32", "--test-share", "0.2"]
    assert text_builder.main(flags) == 0
    assert text_labels(read_metadata(data, "test")) == TextLabels(2, 258, True)
    words = (
        "arch.causal=true",
        "arch.mlp_t=false",
        "arch.pos_encodings=rope",
        "lr=3e-3",
        "epochs=2",
        "eval_interval=1",
    )
    run = train(data, tmp_path / "run", *words, "epochs=2", "eval_interval=1")
    found = records(tmp_path / "run", "eval")
    assert [record["judged_by"] for record in found] == ["bits_per_byte"] * 2
    assert 8 > found[0]["bits_per_byte"] > found[1]["bits_per_byte"] > 1
    assert run.state.best_score == pytest.approx(2 ** -found[1]["bits_per_byte"])
    made, _ = run_evaluation(EvaluationRequest(run=str(tmp_path / "run" / "latest.pt"), device="cpu"))
    assert made["by_kind"]["text"]["bits_per_byte"] == pytest.approx(found[1]["bits_per_byte"], rel=1e-5)
