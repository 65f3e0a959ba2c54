from __future__ import annotations

import io

import pytest
import torch

from tests.support.capsules import TINY, Run, Values, build, make, make_batch, make_draws
from trm_cli.models.hesc import parameter_budget
from trm_cli.models.hesc.concepts import perplexity
from trm_cli.models.hesc.q_control import Action
from trm_cli.models.hesc.vocabulary import TEXT_PLACES
from trm_cli.models.layers.carry import Carry
from trm_cli.training.step import on_device

# What has no gradient at once, and why.
LATER = {
    "network.memory.query.weight": "the memory is empty until a row has been solved",
    "network.memory.out.weight": "the memory is empty until a row has been solved",
    "network.memory.gate": "the memory is empty until a row has been solved",
}
PARTS = {
    "enable_latent_planning": "planner",
    "enable_expansion": "capsules",
    "enable_dqn": "halting",
    "enable_mtp": "mtp",
    "enable_vq": "vq",
    "enable_memory": "memory",
    "enable_reconstruction": "reconstruction",
}


def without_gradient(run: Run, steps: int) -> set[str]:
    """Names of the parameters that had no gradient in any of the steps."""
    never = {name for name, _ in run.model.named_parameters()}
    for k in range(steps):
        run.step(k)
        for name, parameter in run.model.named_parameters():
            if parameter.grad is not None and parameter.grad.to_dense().abs().sum() > 0:
                never.discard(name)
    return never


def test_a_gradient_reaches_every_parameter_within_a_few_steps():
    # Defect 3: half of the parameters never got one.
    assert without_gradient(Run(make()), 5) == set(LATER)


def test_the_memory_learns_once_something_was_solved():
    run = Run(make())
    memory = run.model.network.memory
    memory.write(torch.randn(4, 8), torch.randn(4, 32), torch.ones(4))
    assert without_gradient(run, 5) == set()


@pytest.mark.parametrize("part", PARTS)
def test_a_gradient_reaches_every_parameter_without_a_part(part):
    never = without_gradient(Run(make(**{part: False})), 5)
    assert never <= set(LATER)


@pytest.mark.parametrize(("part", "component"), PARTS.items())
def test_a_switch_removes_parameters_and_changes_the_answer(part, component):
    whole, less = make(), make(**{part: False})
    full, reduced = parameter_budget.parameter_counts(whole), parameter_budget.parameter_counts(less)
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
            assert other.grad is not None and torch.equal(other.grad.to_dense(), one.grad.to_dense()), name


def test_terms_sum_to_the_loss():
    result = Run(make()).step(0)
    torch.testing.assert_close(torch.stack(list(result.terms.values())).sum(), result.loss.detach())
    assert set(result.terms) == {
        "grid_loss", "text_loss", "q_halt_loss", "map_diversity_loss", "checksum_loss", "reconstruction_loss",
        "vq_loss", "mtp_loss", "planner_value_loss", "planner_balance_loss", "planner_diversity_loss", "td_loss",
    }  # fmt: skip
    metrics = [value for group in result.metrics.values() for value in group.values()]
    assert all(value.ndim == 0 and torch.isfinite(value) for value in (*result.terms.values(), *metrics))


def test_actions_plans_concepts_and_memory_are_measured_in_every_step():
    run = Run(make())
    run.model.network.memory.write(torch.randn(4, 8), torch.randn(4, 32), torch.ones(4))
    chosen = set()
    for k in range(4):
        result = run.step(k, Values(epsilon=1.0))
        rows = result.metrics["rows"]
        assert rows.pop("count") == 6
        for action in Action:
            assert rows.pop(f"chose_{action.name.lower()}") == (result.outputs.action == action).sum()
        chosen |= set(result.outputs.action.tolist())
        ids = result.outputs.thought.coding.ids
        shares = {name: value.item() / 6 for name, value in rows.items()}
        assert shares == {
            "concepts_used": pytest.approx(len(ids.unique()) / 16),
            "concepts_perplexity": pytest.approx(perplexity(ids, 16).item()),
            "memory_filled": 4 / 16,
            "planner_gate": pytest.approx(result.outputs.thought.plan.gate.mean().item()),
            "planner_change": pytest.approx(result.outputs.thought.plan.change.mean().item()),
        }
    assert len(chosen) == 3


def test_the_answer_is_as_long_as_the_target():
    # Defect 2: the output had the length of the working set.
    model, batch = make(), make_batch()
    _, outputs = model.advance(model.initial_carry(batch), batch, Values(), None)
    assert model.answer(outputs).shape == batch["target"].shape


def test_tokens_ahead_are_predicted_where_text_can_be_and_only_in_training():
    model = build(seq_len=1024)
    batch = make_batch(rows=2, length=1024)
    further = model.advance(model.initial_carry(batch), batch, Values(), None)[1].thought.further
    assert [scores.shape[1] for scores in further] == [TEXT_PLACES - 1, TEXT_PLACES - 2]
    result = model(model.initial_carry(batch), batch, Values(), None)
    assert result.terms["mtp_loss"] > 0
    result = model.eval()(model.initial_carry(batch), batch, Values(), None)
    assert result.outputs.thought.further == result.outputs.thought.drawn == ()
    assert not {"mtp_loss", "reconstruction_loss"} & set(result.terms)


def test_a_target_longer_than_the_model_was_made_for_is_refused():
    model, batch = make(), make_batch(length=17)
    with pytest.raises(ValueError, match="does not fit"):
        model.advance(model.initial_carry(batch), batch, Values(), None)


def test_steps_go_up_by_one_and_end_at_the_limit():
    # Defect 4: steps were counted twice, so that halt_max_steps was halved.
    model, batch = make(enable_dqn=False), make_batch()
    carry = model.initial_carry(batch)
    for expected in (1, 2, 3, 1):
        carry, _ = model.advance(carry, batch, Values(epsilon=0.0), make_draws(model, 6, expected))
        assert carry.steps.tolist() == [expected] * 6
        assert carry.halted.tolist() == [expected == 3] * 6


def test_evaluation_takes_every_row_to_the_last_step_and_moves_no_state():
    model, batch = make(), make_batch()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    carry = model.initial_carry(batch)
    for k in range(3):
        carry = model(carry, batch, Values(), None).carry
        assert carry.halted.tolist() == [k == 2] * 6
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_text_is_read_causally_and_a_grid_is_not_read_at_all():
    model, batch = make(), make_batch()
    carry = model.initial_carry(batch)
    other = batch | {"target": batch["target"].clone()}
    other["target"][:, 5] = torch.where(batch["target_kind"] == 0, 3, 200).int()
    before, after = (model.advance(carry, b, Values(), None)[1].logits for b in (batch, other))
    moved = (before - after).abs().amax(-1) > 1e-6
    text = batch["target_kind"] == 1
    assert not moved[~text].any()
    assert not moved[text][:, :6].any()
    assert moved[text][:, 6].all()


@pytest.mark.parametrize("changed", [0, 4, 9])
def test_a_token_ahead_is_told_from_the_tokens_before_it(changed):
    # Defect 24, in the whole model: tokens ahead that could be looked up.
    model, batch = make(), make_batch()
    text = batch["target_kind"] == 1
    other = batch | {"target": batch["target"].clone()}
    other["target"][text, changed] = 200
    carry = model.initial_carry(batch)
    before, after = (model.advance(carry, b, Values(), None)[1].thought.further for b in (batch, other))
    assert len(before) == 2
    for ahead, (scores, was) in enumerate(zip(after, before, strict=True), start=1):
        moved = (scores - was)[text].abs().amax(-1) > 1e-6
        last_read = torch.arange(scores.shape[1]) + ahead - 1
        assert not moved[:, last_read < changed].any()
        assert moved[:, last_read == changed].all()


def test_a_row_does_not_depend_on_its_neighbours():
    model, batch = make(), make_batch()
    single = {name: value[2:3] for name, value in batch.items()}
    whole = model.advance(model.initial_carry(batch), batch, Values(), None)[1].logits[2:3]
    alone = model.advance(model.initial_carry(single), single, Values(), None)[1].logits
    torch.testing.assert_close(whole, alone, atol=2e-5, rtol=1e-4)


def force(model: torch.nn.Module, action: Action) -> None:
    """Make the Q-network prefer one action whatever the state."""
    with torch.no_grad():
        model.q_network.value.zero_()
        model.q_network.value_bias.copy_(100.0 * torch.nn.functional.one_hot(torch.tensor(int(action)), 3))


def test_expand_changes_the_next_step_and_costs_what_it_should():
    # Defect 25: EXPAND changed nothing that the recursion saw, and its cost never reached the reward.
    batch, results = make_batch(), {}
    for action in (Action.CONTINUE, Action.EXPAND):
        model = make()
        force(model, action)
        first = model(model.initial_carry(batch), batch, Values(epsilon=0.0), make_draws(model, 6, 0))
        second = model(first.carry, batch, Values(epsilon=0.0), make_draws(model, 6, 1))
        results[action] = (first, second)
    stay, open_ = results[Action.CONTINUE], results[Action.EXPAND]
    torch.testing.assert_close(stay[0].outputs.logits, open_[0].outputs.logits)
    assert ((stay[1].outputs.logits - open_[1].outputs.logits).abs().amax((1, 2)) > 1e-5).all()
    assert open_[0].carry.extra["opened"].sum(1).tolist() == [1] * 6
    cost = stay[0].carry.extra["reward"] - open_[0].carry.extra["reward"]
    torch.testing.assert_close(cost, torch.full((6,), 0.1 * TINY["children_per_capsule"]))


def test_a_reset_closes_what_was_expanded():
    model, batch = make(), make_batch()
    force(model, Action.EXPAND)
    carry = model.initial_carry(batch)
    for k in range(4):
        opened = carry.extra["opened"].sum(1)
        carry = model(carry, batch, Values(epsilon=0.0), make_draws(model, 6, k)).carry
    assert opened.tolist() == [2] * 6
    assert carry.extra["opened"].sum(1).tolist() == [1] * 6


def test_replay_never_joins_two_episodes_and_holds_what_was_done():
    # Defect 20: the state before a reset was stored with the state after it; defect: the greedy action was stored.
    model, batch = make(dqn_tau=0.0), make_batch()
    carry, states, actions = model.initial_carry(batch), [], []
    for k in range(7):
        result = model(carry, make_batch(seed=k), Values(epsilon=0.8), make_draws(model, 6, k))
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


def test_warm_up_fills_the_replay_and_does_not_teach():
    # Defect 21: a flag that froze nothing.
    run = Run(make())
    for k in range(4):
        result = run.step(k, Values(dqn_warmup=0.5))
        assert result.terms["td_loss"] == 0
        assert run.model.q_network.hidden.grad.abs().sum() == 0
    assert int(run.model.replay.size()) >= 8
    assert run.step(5).terms["td_loss"] > 0


def test_the_q_loss_teaches_the_q_network_alone():
    model = make(td_loss_weight=1000.0)
    same = make(td_loss_weight=0.0)
    runs = [Run(model, rate=0.0), Run(same, rate=0.0)]
    for k in range(4):
        for run in runs:
            run.step(k)
    for (name, a), (_, b) in zip(model.network.named_parameters(), same.network.named_parameters(), strict=True):
        assert (a.grad is None and b.grad is None) or torch.equal(a.grad, b.grad), name


def test_no_value_of_the_clock_is_kept():
    # Defect 6: temperature and epsilon lived in modules and drifted from the plan after a resume.
    run = Run(make())
    run.step(0, Values(expansion_penalty=0.0123, q_temperature=0.4567, epsilon=0.2891))
    held = [v for m in run.model.modules() for v in vars(m).values() if isinstance(v, float)]
    assert not {0.0123, 0.4567, 0.2891} & set(held)
    assert not any("step" in name or "epoch" in name for name in run.model.state_dict())


def test_the_same_step_twice_gives_the_same_bits():
    first, second = (Run(make()) for _ in range(2))
    for k in range(3):
        assert torch.equal(first.step(k).loss, second.step(k).loss)


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


def test_clipping_groups_partition_the_parameters():
    # Defect 26: some parameters were clipped twice and some never.
    model = make()
    grouped = [p for group in parameter_budget.clipping_groups(model).values() for p in group]
    assert len(grouped) == len({id(p) for p in grouped})
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}


def test_the_trunk_is_everything_but_the_puzzle_table():
    model = make()
    trunk = {id(p) for p in model.trunk_parameters()}
    assert {id(p) for p in model.parameters()} - trunk == {id(model.puzzle_embedding.weight)}


def test_pictures_go_through_the_capsules():
    model, batch = make(), make_batch()
    batch["canvas_kind"][:] = 2
    batch["picture"] = torch.randint(0, 256, (6, 3, 9, 11), dtype=torch.uint8)
    carry = model.initial_carry(batch)
    before = model.advance(carry, batch, Values(), None)[1].logits
    batch["picture"] = 255 - batch["picture"]
    assert not torch.allclose(before, model.advance(carry, batch, Values(), None)[1].logits)


def test_rows_without_a_label_teach_nothing_to_halting_and_replay():
    model, batch = make(), make_batch()
    batch["target"][:] = -100
    result = model(model.initial_carry(batch), batch, Values(epsilon=1.0), make_draws(model, 6, 0))
    assert result.terms["q_halt_loss"] == result.terms["grid_loss"] == result.metrics["halted"]["count"] == 0
    assert int(model.replay.size()) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 30, "num_heads": 4}, "heads"),
        ({"puzzle_emb_ndim": 5}, "puzzle_emb_ndim"),
        ({"num_registers": 1}, "num_registers"),
        ({"mtp_num_depths": 1}, "mtp_num_depths"),
        ({"cell_size": 6, "patch_size": 12, "canvas_size": 24}, "glyphs"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        make(**changes)


def test_values_may_be_tensors_and_an_evaluation_may_go_without():
    numbers = Values(q_temperature=0.5)
    one, other = Run(make()), Run(make())
    for k in range(3):
        tensors = on_device(numbers, torch.device("cpu"))
        torch.testing.assert_close(one.step(k, numbers).loss, other.step(k, tensors).loss)
    model, batch = make(), make_batch()
    carry = model.initial_carry(batch)
    without = model.advance(carry, batch)[1].logits
    assert torch.equal(without, model.advance(carry, batch, Values(), None)[1].logits)


def test_a_training_step_needs_a_clock() -> None:
    model, batch = make(), make_batch()
    carry, draws = model.initial_carry(batch), make_draws(model, 6, 0)
    for step in (model, model.advance):
        with pytest.raises(ValueError, match="pass clock="):
            step(carry, batch, draws=draws)
        step(carry, batch)
