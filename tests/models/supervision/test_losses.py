"""Losses and metrics of a step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from trm_cli.models.supervision import losses
from trm_cli.models.supervision.outputs import Outputs

torch.set_num_threads(1)


def _published_stablemax(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    x = logits.double()
    s = torch.where(x < 0, 1 / (1 - x + 1e-30), x + 1)
    return -torch.log(s / s.sum(-1, keepdim=True)).gather(-1, labels.long()[..., None])[..., 0]


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=12), st.data())
def test_stablemax_equals_the_published_double_precision_form(values: list[float], data: st.DataObject) -> None:
    logits = torch.tensor([values])
    labels = torch.tensor([data.draw(st.integers(0, len(values) - 1))])
    torch.testing.assert_close(
        losses.stablemax_cross_entropy(logits, labels).double(),
        _published_stablemax(logits, labels),
        rtol=1e-5,
        atol=1e-5,
    )


def test_stablemax_has_its_gradient_at_zero_and_far_out() -> None:
    logits = torch.tensor([[0.0, 1.5, -2.0, 0.3], [-0.7, 0.0, 3.0, -9.0]], dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 3])
    # At zero both branches have the slope 1, so finite differences hold there as well.
    assert gradcheck(lambda x: losses.stablemax_cross_entropy(x, labels), (logits,), eps=1e-7, atol=1e-5)
    far = torch.tensor([[3e38, -3e38, 0.0]]).requires_grad_()
    loss = losses.stablemax_cross_entropy(far, torch.tensor([1]))
    loss.backward()
    assert loss.isfinite().all()
    assert far.grad is not None
    assert far.grad.isfinite().all()


def test_ignored_labels_cost_nothing_and_rows_are_means_over_the_rest() -> None:
    logits = torch.randn(2, 3, 5)
    labels = torch.tensor([[1, -100, 2], [-100, -100, -100]])
    token = losses.softmax_cross_entropy(logits, labels)
    expected = -torch.log_softmax(logits, -1)
    torch.testing.assert_close(token[0], torch.stack((expected[0, 0, 1], torch.tensor(0.0), expected[0, 2, 2])))
    row = losses.per_row_mean(token, labels)
    torch.testing.assert_close(row, torch.stack(((expected[0, 0, 1] + expected[0, 2, 2]) / 2, torch.tensor(0.0))))


def _outputs(predictions: list[list[int]], q_halt: list[float], target: torch.Tensor | None = None) -> Outputs:
    logits = torch.nn.functional.one_hot(torch.tensor(predictions), 4).float() * 10
    q = torch.tensor(q_halt)
    return Outputs(logits.requires_grad_(), q.requires_grad_(), (q.detach() * 0.5).requires_grad_(), target)


def test_metrics_count_rows_that_halted_with_a_label() -> None:
    outputs = _outputs([[1, 2], [1, 2], [1, 2], [1, 2], [1, 2]], [2.0, -1.0, 1.0, 3.0, 0.0])
    labels = torch.tensor([[1, 2], [1, 3], [1, -100], [-100, -100], [3, 3]])
    halted = torch.tensor([True, True, False, True, True])
    metrics = losses.step_metrics(outputs, labels, torch.tensor([4, 2, 1, 3, 5], dtype=torch.int32), halted)
    # Row 2 goes on; row 3 has no label: neither counts. q_halt 0 says right, and row 4 is wrong.
    expected = {"count": 3, "accuracy": 1.5, "exact_accuracy": 1, "q_halt_accuracy": 2, "steps": 11}
    assert {name: value.item() for name, value in metrics.items()} == expected


def test_row_without_a_label_is_not_right_and_teaches_nothing() -> None:
    target = torch.tensor([0.5, 0.5])
    outputs = _outputs([[1, 2], [1, 2]], [1.0, 1.0], target)
    labels = torch.tensor([[1, 2], [-100, -100]])
    loss, terms = losses.step_losses(outputs, labels)
    loss.backward()
    for tensor in (outputs.logits, outputs.q_halt, outputs.q_continue):
        assert tensor.grad is not None
        assert tensor.grad[0].any()
        assert not tensor.grad[1].any()
    assert loss.item() == pytest.approx(sum(value.item() for value in terms.values()), rel=1e-6)
    assert set(terms) == {"lm_loss", "q_halt_loss", "q_continue_loss"}


def test_row_without_a_label_counts_as_wrong() -> None:
    share, right, has_label = losses.correct_tokens(
        torch.tensor([[1, 2], [1, 2]]), torch.tensor([[-100, -100], [1, 2]])
    )
    assert (share.tolist(), right.tolist(), has_label.tolist()) == ([0.0, 1.0], [False, True], [False, True])


def test_halting_loss_weighs_one_half() -> None:
    outputs = _outputs([[1, 2]], [0.0])
    _, terms = losses.step_losses(outputs, torch.tensor([[1, 2]]))
    assert terms["q_halt_loss"].item() == pytest.approx(0.5 * 0.693147, rel=1e-5)


def test_label_smoothing_gives_a_share_to_every_token() -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 2, -100], [0, 4, 3]])
    log_law = torch.log_softmax(losses.log_stablemax_scores(logits), -1)
    for row in range(2):
        for place in range(3):
            found = losses.smoothed_cross_entropy(logits, labels, 0.2)[row, place]
            expected = -0.8 * log_law[row, place, labels[row, place].clamp(0)] - 0.2 * log_law[row, place].mean()
            assert found.item() == pytest.approx(0 if labels[row, place] < 0 else expected.item(), abs=1e-6)


def test_smoothing_and_the_weight_of_q_reach_the_terms() -> None:
    outputs, labels = _outputs([[1, 2]], [0.0]), torch.tensor([[1, 2]])
    _, terms = losses.step_losses(outputs, labels, q_weight=0.05, label_smoothing=0.2)
    assert terms["q_halt_loss"].item() == pytest.approx(0.05 * 0.693147, rel=1e-5)
    expected = losses.smoothed_cross_entropy(outputs.logits, labels, 0.2).mean()
    assert terms["lm_loss"].item() == pytest.approx(expected.item())
