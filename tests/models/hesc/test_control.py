from __future__ import annotations

import pytest
import torch

from tests.support.capsules import TINY, Values
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.control import q_control
from trm_cli.models.hesc.control.q_control import Action, QNetwork
from trm_cli.models.hesc.control.replay import ReplayBuffer, Transition
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.schedule.clock import Clock

SETTINGS = HescConfig(**TINY)


def transitions(first: int, count: int, size: int = 3) -> Transition:
    """States that carry their own number."""
    number = torch.arange(first, first + count, dtype=torch.float32)
    return Transition(
        state=number[:, None].expand(-1, size),
        action=torch.zeros(count, dtype=torch.int64),
        reward=number,
        halt_reward=-number,
        next_state=number[:, None].expand(-1, size) + 0.5,
        next_valid=torch.ones(count, 3, dtype=torch.bool),
        terminal=torch.zeros(count, dtype=torch.bool),
    )


def pushed(count: int, capacity: int = 8, at_once: int = 3) -> ReplayBuffer:
    buffer = ReplayBuffer(capacity, 3, 3)
    for first in range(0, count, at_once):
        size = min(at_once, count - first)
        buffer.push(transitions(first, size), torch.ones(size, dtype=torch.bool))
    return buffer


# --- Replay ---


@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
def test_recent_samples_are_the_newest(count):
    # Defect 18: "recent" read the highest places of the ring, not the latest written.
    buffer = pushed(count)
    draws = torch.rand(200, generator=torch.Generator().manual_seed(1))
    got = buffer.at(buffer.places(draws, recent=200, window=2)).reward
    assert set(got.tolist()) == {float(n) for n in range(max(0, count - 2), count)}


def test_all_that_is_kept_can_be_sampled_and_nothing_older():
    # Defect 18: transitions older than the allowed age were still replayed.
    buffer = pushed(20)
    draws = torch.rand(500, generator=torch.Generator().manual_seed(1))
    assert set(buffer.at(buffer.places(draws, recent=0, window=2)).reward.tolist()) == {float(n) for n in range(12, 20)}
    assert int(buffer.size()) == 8


def test_rows_that_are_not_kept_leave_no_trace():
    buffer = ReplayBuffer(8, 3, 3)
    buffer.push(transitions(0, 4), torch.tensor([False, True, False, True]))
    assert int(buffer.size()) == 2
    draws = torch.linspace(0, 0.999, 16)
    assert set(buffer.at(buffer.places(draws, 0, 4)).reward.tolist()) == {1.0, 3.0}


def test_fields_of_a_transition_stay_together():
    buffer = pushed(20)
    got = buffer.at(buffer.places(torch.rand(64), 16, 4))
    assert torch.equal(got.state[:, 0], got.reward)
    assert torch.equal(got.halt_reward, -got.reward)
    assert torch.equal(got.next_state[:, 0], got.reward + 0.5)


def test_replay_continues_from_its_state_dict():
    first, second = pushed(11), ReplayBuffer(8, 3, 3)
    second.load_state_dict(first.state_dict())
    for buffer in (first, second):
        buffer.push(transitions(50, 2), torch.ones(2, dtype=torch.bool))
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), second.buffers(), strict=True))


def test_more_rows_than_places_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        ReplayBuffer(2, 3, 3).push(transitions(0, 3), torch.ones(3, dtype=torch.bool))


# --- Actions ---


def test_the_order_of_actions_is_defined_once():
    # Defect 5: head, policy and replay each had their own order.
    assert [action.name for action in Action] == ["CONTINUE", "HALT", "EXPAND"]
    assert QNetwork(SETTINGS)(torch.zeros(1, 39)).shape == (1, len(Action))


def valid(rows: int, steps: int = 1, opened: bool = False, text: bool = False) -> torch.Tensor:
    kind = torch.full((rows,), int(Kind.TEXT if text else Kind.GRID))
    return q_control.valid_actions(SETTINGS, torch.full((rows,), steps), torch.full((rows, 4), opened), kind)


def test_what_can_be_done():
    assert valid(1).tolist() == [[True, True, True]]
    assert valid(1, opened=True).tolist() == [[True, True, False]]  # defect 25: EXPAND with nothing left to open
    assert valid(1, steps=3).tolist() == [[False, True, False]]
    # A text takes its steps: what decides has seen what follows each of its places.
    assert valid(1, text=True).tolist() == [[True, False, False]]
    assert valid(1, steps=2, text=True).tolist() == [[False, True, False]]


def shares(q: torch.Tensor, values: Clock[float], rows: int = 4000, **kwargs: object) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(rows, 3, generator=generator)
    no = torch.zeros(rows, dtype=torch.bool)
    action = q_control.choose(q.expand(rows, 3), no, no, valid(rows, **kwargs), values, draws)
    return (torch.bincount(action, minlength=3) / rows).tolist()


def test_temperature_changes_what_is_sampled():
    # Defect 7: a temperature inside an argmax did nothing.
    q = torch.tensor([0.0, 1.0, 0.5])
    hot = shares(q, Values(q_temperature=1.0, epsilon=0.0))
    cold = shares(q, Values(q_temperature=0.1, epsilon=0.0))
    assert hot == pytest.approx(q.softmax(-1).tolist(), abs=0.03)
    assert cold == pytest.approx((q / 0.1).softmax(-1).tolist(), abs=0.03)


def test_epsilon_acts_uniformly_among_what_can_be_done():
    q = torch.tensor([0.0, 100.0, 0.0])
    assert shares(q, Values(epsilon=0.9)) == pytest.approx([0.3, 0.4, 0.3], abs=0.03)
    assert shares(q, Values(epsilon=0.9), opened=True) == pytest.approx([0.45, 0.55, 0.0], abs=0.03)


def test_an_action_that_does_not_exist_is_never_taken():
    q = torch.tensor([0.0, 0.0, 50.0])
    assert shares(q, Values(epsilon=0.5), opened=True)[Action.EXPAND] == 0
    assert shares(q, Values(epsilon=0.5), steps=3) == [0.0, 1.0, 0.0]


def test_before_the_warm_up_ends_the_bce_head_decides():
    q = torch.tensor([[9.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
    wants, no = torch.tensor([True, False]), torch.zeros(2, dtype=torch.bool)
    draws = torch.full((2, 3), 0.99)
    chosen = q_control.choose(q, wants, no, valid(2), Values(epsilon=0.0, dqn_warmup=0.99), draws)
    assert chosen.tolist() == [Action.HALT, Action.CONTINUE]
    chosen = q_control.choose(q, wants, no, valid(2), Values(epsilon=0.0, q_temperature=0.01), draws)
    assert chosen.tolist() == [Action.CONTINUE, Action.CONTINUE]


def test_evaluation_halts_nobody_before_the_last_step_and_uses_no_chance():
    q = torch.tensor([[0.0, 9.0, 1.0], [1.0, 9.0, 0.0]])
    yes = torch.ones(2, dtype=torch.bool)
    chosen = q_control.choose(q, yes, ~yes, valid(2), Values(), None)
    assert chosen.tolist() == [Action.EXPAND, Action.CONTINUE]
    assert q_control.choose(q, yes, ~yes, valid(2, steps=3), Values(), None).tolist() == [Action.HALT] * 2


def test_policies_of_an_evaluation():
    q = torch.tensor([[0.0, 9.0, 1.0], [9.0, 0.0, 1.0], [0.0, 0.0, 9.0]])
    head = torch.tensor([-1.0, 1.0, -1.0])
    assert q_control.halts("q", q, head, valid(3)).tolist() == [True, False, False]
    assert q_control.halts("bce", q, head, valid(3)).tolist() == [False, True, False]
    assert q_control.halts("full", q, head, valid(3)).tolist() == [False] * 3
    for policy in ("q", "bce", "full"):
        assert q_control.halts(policy, q, head, valid(3, steps=3)).all()
        assert not q_control.halts(policy, q, head + 9, valid(3, text=True)).any()
    with pytest.raises(ValueError, match="enable_dqn"):
        q_control.halts("q", None, head, valid(3))
    with pytest.raises(ValueError, match="there are"):
        q_control.halts("coin", q, head, valid(3))


@pytest.mark.parametrize(("penalty", "opening"), [(0.1, 2), (0.1, 1), (0.0, 2), (0.001, 1)])
def test_opening_costs_by_the_child_and_never_less_than_a_step(penalty, opening):
    actions = torch.tensor([Action.CONTINUE, Action.EXPAND])
    stay, opened = q_control.price(SETTINGS, actions, torch.full((2,), opening), penalty).tolist()
    assert stay == pytest.approx(SETTINGS.reward_step_cost)
    by_child = penalty * opening * SETTINGS.children_per_capsule
    assert opened == pytest.approx(stay + max(by_child, SETTINGS.reward_step_cost))


def test_expand_opens_several_capsules_and_the_worst_first():
    opened = torch.tensor([[False, True, False, False], [True, True, True, False], [False] * 4])
    residual = torch.tensor([[0.1, 0.9, 0.5, 0.3], [0.0, 0.0, 0.0, 0.2], [0.1, 0.2, 0.3, 0.4]])
    after = q_control.expand(opened, residual, torch.tensor([True, True, False]), 2)
    assert after.tolist() == [[False, True, True, True], [True] * 4, [False] * 4]


# --- Learning ---


def test_the_target_moves_by_tau():
    # Defect 19: the target network never moved.
    network = QNetwork(SETTINGS)
    with torch.no_grad():
        network.value.add_(1.0)
    was, now = network.target_value.clone(), network.value.detach().clone()
    network.follow(0.005)
    torch.testing.assert_close(network.target_value, was + 0.005 * (now - was))


def test_td_target_is_double_and_stops_at_the_end():
    network = QNetwork(SETTINGS)
    state = torch.zeros(2, 39)
    with torch.no_grad():
        network.value_bias.copy_(torch.tensor([1.0, 0.0, 5.0]))
        network.target_value_bias.copy_(torch.tensor([2.0, 9.0, 7.0]))
        network.value.zero_()
        network.target_value.zero_()
    batch = Transition(
        state=state,
        action=torch.tensor([Action.CONTINUE, Action.HALT]),
        reward=torch.tensor([0.1, 1.0]),
        halt_reward=torch.tensor([-0.5, 1.0]),
        next_state=state,
        next_valid=torch.tensor([[True, True, False], [True, True, True]]),
        terminal=torch.tensor([False, True]),
    )
    # Row 0: the best valid action by the present weights is CONTINUE (1 > 0), its target value 2: y = 0.1 + 0.99 * 2.
    huber = torch.nn.functional.huber_loss
    executed = huber(torch.tensor(1.0), torch.tensor(0.1 + 0.99 * 2)) + huber(torch.tensor(0.0), torch.tensor(1.0))
    halting = huber(torch.tensor(0.0), torch.tensor(-0.5))
    torch.testing.assert_close(q_control.td_loss(network, batch, 0.99), (executed + halting) / 2)


def test_the_q_network_sends_no_gradient_to_its_state():
    state = torch.randn(2, 39, requires_grad=True)
    QNetwork(SETTINGS)(state).sum().backward()
    assert state.grad is None
