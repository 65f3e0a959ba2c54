"""The whole network under training: gradients, terms, replay, the carry, and that nothing counts steps."""

from __future__ import annotations

import io

import pytest
import torch

from tests.support.capsules import KINDS, Run, Values, make, make_batch, make_draws
from trm_cli.models.hesc import components
from trm_cli.models.hesc.control.q_control import Action
from trm_cli.models.hesc.rows import layout
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.models.supervision.carry import Carry
from trm_cli.models.thinking import think
from trm_cli.training.step import on_device

PARTS = {
    "enable_latent_planning": "planner",
    "enable_expansion": "workspace",
    "enable_dqn": "answers",
    "enable_mtp": "mtp",
}


def without_gradient(run: Run, steps: int) -> set[str]:
    """Names of the parameters that had no gradient in any of the steps."""
    never = {name for name, _ in run.model.named_parameters()}
    for k in range(steps):
        run.step(k)
        for name, parameter in run.model.named_parameters():
            if parameter.grad is not None and parameter.grad.to_dense().abs().sum() > 0:
                never.discard(name)
        if not never:
            break
    return never


def test_a_gradient_reaches_every_parameter_within_a_few_steps():
    assert without_gradient(Run(make()), 6) == set()


def test_texts_without_capsules_teach_every_parameter_too():
    run = Run(make(text_workspace=False, enable_latent_planning=False))
    assert without_gradient(run, 6) == set()
    assert run.model.network.recursion.workspace.checksum.usual_detail.isfinite().all()


@pytest.mark.parametrize("part", PARTS)
def test_a_gradient_reaches_every_parameter_without_a_part(part):
    assert without_gradient(Run(make(**{part: False})), 6) == set()


@pytest.mark.parametrize(("part", "component"), PARTS.items())
def test_a_switch_removes_parameters_and_changes_the_loss(part, component):
    whole, less = make(), make(**{part: False})
    full, reduced = (
        {name: sum(p.numel() for p in group) for name, group in components.parameter_groups(model).items()}
        for model in (whole, less)
    )
    assert reduced.get(component, 0) < full[component]
    assert {name for name in reduced if reduced[name] > full[name]} == set()
    with_part, without = (Run(model).step(0) for model in (whole, less))
    assert not torch.equal(with_part.loss, without.loss)
    assert set(without.terms) <= set(with_part.terms)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_activations_computed_twice_give_the_same_gradients(dtype: str) -> None:
    kept, twice = make(forward_dtype=dtype), make(forward_dtype=dtype)
    twice.recompute_activations()
    for model in (kept, twice):
        batch = make_batch()
        clock, draws = on_device(Values(), torch.device("cpu")), make_draws(model, 6, 0)
        model(model.initial_carry(batch), batch, clock, draws).loss.backward()
    for (name, one), (_, other) in zip(kept.named_parameters(), twice.named_parameters(), strict=True):
        if one.grad is None:
            assert other.grad is None, name
        else:
            assert other.grad is not None, name
            # Sums of the same numbers in another order.
            close = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 0.02, "atol": 0.02}
            torch.testing.assert_close(other.grad.to_dense(), one.grad.to_dense(), **close)


def test_demonstrations_read_twice_give_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_PAIRS_AT_ONCE", 3)
    once, twice = make(), make(recompute_demonstrations=True)
    batch = make_batch(kinds=(Kind.GRID,))
    assert int((batch["pair_size"].sum(-1) > 0).sum()) > 3
    for model in (once, twice):
        model(model.initial_carry(batch), batch, Values(), make_draws(model, 6, 0)).loss.backward()
    for (name, one), (_, other) in zip(once.named_parameters(), twice.named_parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None:
            torch.testing.assert_close(other.grad.to_dense(), one.grad.to_dense(), rtol=1e-4, atol=1e-5)


def test_terms_sum_to_the_loss():
    result = Run(make()).step(0)
    torch.testing.assert_close(torch.stack(list(result.terms.values())).sum(), result.loss.detach())
    assert set(result.terms) == {
        "grid_loss", "text_loss", "picture_loss", "q_halt_loss", "checksum_loss", "mtp_loss", "planner_value_loss",
        "planner_balance_loss", "planner_diversity_loss", "td_loss",
    }  # fmt: skip
    metrics = [value for group in result.metrics.values() for value in group.values()]
    assert all(value.ndim == 0 and torch.isfinite(value) for value in (*result.terms.values(), *metrics))


@pytest.mark.parametrize("kind", list(Kind))
def test_terms_and_metrics_are_the_same_whatever_a_batch_holds(kind):
    # What varies by batch could not be summed over processes.
    both = [Run(make(), kinds=kinds, pairs=0).step(0) for kinds in (KINDS, (kind,))]
    assert set(both[0].terms) == set(both[1].terms)
    assert {n: set(g) for n, g in both[0].metrics.items()} == {n: set(g) for n, g in both[1].metrics.items()}


def test_each_kind_is_measured_by_itself():
    model, batch = make(enable_dqn=False, halt_max_steps=1, text_steps=1), make_batch()
    result = model(model.initial_carry(batch), batch, Values(epsilon=0.0), make_draws(model, 6, 0))
    groups = result.metrics
    assert [int(groups[f"{name}_rows"]["count"]) for name in ("grid", "text", "picture")] == [2, 2, 2]
    answers, target = model.answer(result.outputs), batch["target"]
    right = ((answers == target) & (target != -100)).sum(1) / (target != -100).sum(1)
    for name, metric, kind in (
        ("grid", "accuracy", 0),
        ("text", "text_accuracy", 1),
        ("picture", "picture_accuracy", 2),
    ):
        torch.testing.assert_close(groups[f"{name}_rows"][metric], right[batch["kind"] == kind].sum())
    nats = model.label_nats(result.outputs, target)[batch["kind"] == 1].sum() / 23
    torch.testing.assert_close(groups["text_rows"]["text_bits"], nats / torch.tensor(2.0).log())


def test_steps_go_up_by_one_and_end_at_the_limit_of_the_kind():
    model, batch = make(enable_dqn=False), make_batch()
    carry, text = model.initial_carry(batch), batch["kind"] == Kind.TEXT
    for expected in (1, 2, 3):
        carry, _ = model.advance(carry, batch, Values(epsilon=0.0), make_draws(model, 6, expected))
        assert carry.steps[~text].tolist() == [expected] * 4
        assert carry.steps[text].tolist() == [1 if expected == 3 else expected] * 2
        assert carry.halted.tolist() == torch.where(text, expected == 2, expected == 3).tolist()


def test_evaluation_takes_every_row_to_the_last_step_and_moves_no_state():
    model, batch = make(), make_batch()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    steps = list(think(model, batch))
    assert [len(step.rows) for step in steps] == [6, 6, 6]
    text = batch["kind"] == Kind.TEXT
    second, third = (step.outputs.logits[text][:, :24] for step in steps[1:])
    torch.testing.assert_close(second, third)  # a text has taken its steps and stays as it is
    model(model.initial_carry(batch), batch, Values(), None)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("policy", ["q", "bce"])
def test_an_evaluation_may_let_rows_go_by_either_policy(policy):
    model, batch = make(), make_batch()
    with torch.no_grad():
        model.network.halt_head.bias.fill_(9.0)
        model.q_network.value.zero_()
        model.q_network.value_bias.copy_(torch.tensor([0.0, 9.0, 0.0]))
    text = (batch["kind"] == Kind.TEXT).nonzero()[:, 0].tolist()
    assert [step.rows.tolist() for step in think(model.eval(), batch, policy=policy)] == [list(range(6)), text]


# --- Replay ---


def test_replay_never_joins_two_episodes_and_holds_what_was_done():
    model, batch = make(dqn_tau=0.0), make_batch(kinds=(Kind.GRID, Kind.PICTURE))
    carry, states, actions = model.initial_carry(batch), [], []
    for k in range(7):
        fields = make_batch(seed=k, kinds=(Kind.GRID, Kind.PICTURE))
        result = model(carry, fields, Values(epsilon=0.8), make_draws(model, 6, k))
        states.append((carry.halted.clone(), carry.extra["q_state"].half(), result.carry.extra["q_state"].half()))
        actions.append((carry.extra["action"], result.carry.halted, result.carry.extra["action"]))
        carry = result.carry
    expected = []
    for (fresh, before, after), (led, halted, now) in zip(states, actions, strict=True):
        expected += [(before[i], after[i], int(led[i]), False) for i in range(6) if not fresh[i]]
        expected += [(after[i], after[i], int(now[i]), True) for i in range(6) if halted[i]]
    replay = model.replay
    assert int(replay.size()) == len(expected) > 20
    for place, (state, following, action, terminal) in enumerate(expected):
        assert torch.equal(replay.state[place], state)
        assert torch.equal(replay.next_state[place], following)
        assert int(replay.action[place]) == action
        assert bool(replay.terminal[place]) == terminal
        assert (action == Action.HALT) == terminal


def test_texts_and_rows_without_a_label_teach_nothing_to_the_replay():
    model, batch = make(), make_batch(kinds=(Kind.TEXT,), pairs=0)
    unlabelled = make_batch(kinds=(Kind.GRID,), pairs=0)
    unlabelled["target"][:] = -100
    for data in (batch, unlabelled):
        carry = model.initial_carry(data)
        for k in range(3):
            carry = model(carry, data, Values(epsilon=1.0), make_draws(model, 6, k)).carry
    assert int(model.replay.size()) == 0


def test_warm_up_fills_the_replay_and_does_not_teach():
    run = Run(make())
    for k in range(4):
        result = run.step(k, Values(dqn_warmup=0.5))
        assert result.terms["td_loss"] == 0
        assert run.model.q_network.hidden.grad.abs().sum() == 0
    assert int(run.model.replay.size()) >= 4
    assert run.step(5).terms["td_loss"] > 0


def test_the_q_loss_teaches_the_q_network_alone():
    model, same = make(td_loss_weight=1000.0), make(td_loss_weight=0.0)
    runs = [Run(model, rate=0.0), Run(same, rate=0.0)]
    for k in range(4):
        for run in runs:
            run.step(k)
    for (name, a), (_, b) in zip(model.network.named_parameters(), same.network.named_parameters(), strict=True):
        assert (a.grad is None and b.grad is None) or torch.equal(a.grad, b.grad), name


# --- State ---


def test_no_value_of_the_clock_is_kept():
    run = Run(make())
    run.step(0, Values(expansion_penalty=0.0123, q_temperature=0.4567, epsilon=0.2891))
    held = [v for m in run.model.modules() for v in vars(m).values() if isinstance(v, float)]
    assert not {0.0123, 0.4567, 0.2891} & set(held)
    assert not any("step" in name or "epoch" in name for name in run.model.state_dict())


def test_a_saved_run_continues_to_the_bit():
    straight = Run(make())
    for k in range(4):
        straight.step(k)
    file = io.BytesIO()
    state = (straight.model.state_dict(), straight.optimizer.state_dict(), straight.carry.state_dict())
    torch.save(state, file)
    file.seek(0)
    weights, moments, carry = torch.load(file, weights_only=True)
    resumed = Run(make(seed=99))
    resumed.model.load_state_dict(weights)
    resumed.optimizer.load_state_dict(moments)
    resumed.carry = Carry(**carry)
    for k in range(4, 8):
        assert torch.equal(straight.step(k).loss, resumed.step(k).loss)
    final = resumed.model.state_dict()
    assert all(torch.equal(value, final[name]) for name, value in straight.model.state_dict().items())


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_half_precision_is_finite_and_keeps_float32_weights(name):
    run = Run(make(forward_dtype=name))
    for k in range(3):
        assert torch.isfinite(run.step(k).loss)
    assert run.carry.z["z_H"].dtype == getattr(torch, name)
    assert all(p.dtype == torch.float32 for p in run.model.parameters())
    assert all(torch.isfinite(p.grad.to_dense()).all() for p in run.model.parameters() if p.grad is not None)


def test_groups_of_gradients_partition_the_parameters():
    model = make()
    grouped = [p for group in components.parameter_groups(model).values() for p in group]
    assert len(grouped) == len({id(p) for p in grouped})
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}
    trunk = {id(p) for p in model.trunk_parameters()}
    assert {id(p) for p in model.parameters()} - trunk == {id(model.puzzle_embedding.weight)}


def test_values_may_be_tensors():
    numbers = Values(q_temperature=0.5)
    one, other = Run(make()), Run(make())
    for k in range(3):
        tensors = on_device(numbers, torch.device("cpu"))
        torch.testing.assert_close(one.step(k, numbers).loss, other.step(k, tensors).loss)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 30, "num_heads": 4, "puzzle_emb_ndim": 30}, "heads"),
        ({"token_size": 12}, "token_size"),
        ({"patch_size": 3}, "patch_size"),
        ({"puzzle_emb_ndim": 5}, "puzzle_emb_ndim"),
        ({"num_registers": 1}, "num_registers"),
        ({"mtp_num_depths": 1}, "mtp_num_depths"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        make(**changes)


# --- Use ---


def test_a_trace_shows_every_step():
    model, batch = make(), make_batch(kinds=(Kind.GRID,))
    traces = model.trace(batch).steps
    *_, last = think(model, batch)
    assert len(traces) == last.number == model.halt_max_steps
    assert torch.equal(traces[-1].answer, model.answer(last.outputs))
    assert (traces[0].maps.sum(-1) <= 1 + 1e-5).all() and (traces[0].maps.sum((1, 2)) > 0).all()
    torch.testing.assert_close(traces[0].path_shares.sum(-1), torch.ones(6))


def test_a_training_step_needs_a_clock() -> None:
    model, batch = make(), make_batch()
    carry, draws = model.initial_carry(batch), make_draws(model, 6, 0)
    for step in (model, model.advance):
        with pytest.raises(ValueError, match="pass clock="):
            step(carry, batch, draws=draws)
        step(carry, batch)
