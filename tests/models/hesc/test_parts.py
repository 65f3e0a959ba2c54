from __future__ import annotations

import pytest
import torch

from tests.support.capsules import TINY, VOCABULARY, make_batch
from trm_cli.models.all_ranks import OnlyRank
from trm_cli.models.hesc.capsules import CapsulePool
from trm_cli.models.hesc.concepts import Concepts, perplexity, used
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.decoder import AnswerDecoder
from trm_cli.models.hesc.memory import EpisodicMemory
from trm_cli.models.hesc.multi_token_prediction import FurtherTokens
from trm_cli.models.hesc.planner import LatentPlanner, balance, likeness
from trm_cli.models.hesc.working_set import expand
from trm_cli.models.layers.rotary import Rope, rope_tables

SETTINGS = HescConfig(**TINY)


def planner(**changes: object) -> LatentPlanner:
    torch.manual_seed(0)
    return LatentPlanner(HescConfig(**(TINY | changes)))


def slots() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(3, 14, 32, generator=generator), torch.ones(3, 14, dtype=torch.bool)


# --- Planner ---


def test_planner_thoughts_feed_back():
    # Defect 23: paths computed side by side, nothing fed back: the second thought did not depend on the first.
    thoughts = []
    model = planner()
    block = model.blocks[0]
    original = block.forward

    def spy(h, *rest):
        h.retain_grad()
        thoughts.append(h)
        return original(h, *rest)

    block.forward = spy
    z, visible = slots()
    out = model.think(z.requires_grad_(), visible)
    out[:, :, 1].square().sum().mul(0.5).backward(retain_graph=True)
    assert len(thoughts) == 2
    out[:, 0, 1, 0].sum().backward()
    assert thoughts[1].grad.abs().sum() > 0
    assert thoughts[0].grad.abs().sum() > 0


def test_planner_is_the_identity_until_trained():
    z, visible = slots()
    after, plan = planner()(z, visible, None)
    assert torch.equal(after, z)
    assert plan.thoughts.shape == (3, 3, 2, 32)


def test_a_gate_that_wants_to_shut_leaves_the_thoughts_a_gradient():
    # Seen in training: it was shut after some hundred updates, and the planner learnt nothing from then on.
    model = planner()
    z, visible = slots()
    with torch.no_grad():
        model.gate[-1].bias.fill_(-100.0)
        model.fuse.weight.normal_(std=0.1)
    after, plan = model(z, visible, None)
    torch.testing.assert_close(plan.gate, torch.full((3,), 0.25))
    torch.testing.assert_close(plan.change, (after - z).norm(dim=(1, 2)) / z.norm(dim=(1, 2)))
    assert (plan.change > 0.01).all()
    after.square().sum().backward()
    assert model.fuse.weight.grad.abs().max() > 0
    assert model.blocks[0].mlp.down.grad.abs().max() > 0


def test_planner_does_not_care_about_the_order_of_paths():
    model, (z, visible) = planner(), slots()
    torch.nn.init.normal_(model.fuse.weight, std=0.1)
    torch.nn.init.normal_(model.path_out, std=0.1)
    before, plan = model(z, visible, None)
    order = [2, 0, 1]
    with torch.no_grad():
        for weight in (model.starts, model.path_in, model.path_out):
            weight.copy_(weight[order].clone())
    after, permuted = model(z, visible, None)
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(permuted.values, plan.values[:, order])


def test_planner_depth_changes_the_plan():
    z, visible = slots()
    assert not torch.allclose(planner().think(z, visible)[:, :, 0], planner().think(z, visible)[:, :, 1])


def test_planner_looks_only_at_visible_slots():
    model, (z, visible) = planner(), slots()
    visible[:, 6:] = False
    changed = z.clone()
    changed[:, 6:] += 1.0
    torch.testing.assert_close(model.think(z, visible), model.think(changed, visible))


def test_a_solo_row_follows_one_path_and_evaluation_the_mixture():
    model, shares = planner(), torch.full((4, 3), 1 / 3)
    followed = model.followed(shares, torch.tensor([0.0, 0.24, 0.26, 0.9]))
    assert torch.equal(followed[0], torch.tensor([1.0, 0.0, 0.0]))
    assert torch.equal(followed[1], torch.tensor([0.0, 0.0, 1.0]))
    assert torch.equal(followed[2:], shares[2:])
    assert torch.equal(model.followed(shares, None), shares)


def test_balance_and_likeness_are_zero_where_paths_are_even_and_apart():
    assert balance(torch.full((5, 4), 0.25), OnlyRank()).item() == pytest.approx(0.0, abs=1e-6)
    assert balance(torch.eye(4)[:1], OnlyRank()) > 1
    apart = torch.eye(3)[None, :, None]
    assert likeness(apart).item() == pytest.approx(0.0, abs=1e-6)
    assert likeness(torch.ones(1, 3, 1, 3)).item() == pytest.approx(1.0)


# --- MTP ---


def test_mtp_is_causal():
    # Defect 24: a token later than i + k - 1 reached the state that predicts token i + k.
    torch.manual_seed(0)
    model = FurtherTokens(HescConfig(**(TINY | {"mtp_num_depths": 3})))
    rope = Rope(*rope_tables(10, 16, 1e4))
    hidden, embedded = torch.randn(1, 10, 32), torch.randn(1, 10, 32)
    before = model(hidden, embedded, rope)
    assert [state.shape[1] for state in before] == [9, 8]
    for changed in range(10):
        other = embedded.clone()
        other[:, changed] += 1.0
        for k, (state, was) in enumerate(zip(model(hidden, other, rope), before, strict=True), start=1):
            moved = (state - was).abs().amax(-1)[0] > 1e-6
            places = torch.arange(state.shape[1])
            assert not moved[places + k - 1 < changed].any()
            assert moved[places + k - 1 == changed].all()


# --- Concepts ---


def concepts() -> Concepts:
    torch.manual_seed(0)
    return Concepts(SETTINGS)


def test_the_encoder_gets_the_commitment_gradient_and_the_book_none():
    # Defect 22: the loss pulled the book, and the encoder learnt nothing.
    model = concepts()
    coding = model(torch.randn(2, 4, 32))
    coding.commitment.sum().backward()
    assert model.encode.weight.grad.abs().sum() > 0
    assert not model.book.requires_grad
    assert coding.ids.dtype == torch.int64
    assert int(coding.ids.min()) >= 0 and int(coding.ids.max()) < 16


def test_the_code_passes_its_gradient_straight_through():
    model = concepts()
    model(torch.randn(2, 4, 32)).added.sum().backward()
    assert model.encode.weight.grad.abs().sum() > 0


def test_unused_codes_stay_where_they_are():
    # Defect 22: counts and sums that start at 0 shrank unused codes to nothing.
    model = concepts()
    model.seeded.fill_(True)
    book = model.book.clone()
    encodings = book[:1].expand(2, 4, 8).contiguous()
    for _ in range(5):
        model.update(encodings, torch.zeros(2, 4, dtype=torch.int64), torch.rand(2))
    torch.testing.assert_close(model.book, book)


def test_dead_codes_are_reborn_from_present_encodings_and_the_book_is_seeded_by_the_first_batch():
    model = concepts()
    encodings = torch.nn.functional.normalize(torch.randn(2, 4, 8), dim=-1)
    model.update(encodings, torch.zeros(2, 4, dtype=torch.int64), torch.tensor([0.1, 0.7]))
    nearest = torch.cdist(model.book, encodings.flatten(0, 1)).amin(1)
    assert nearest.max() < 1e-3
    model.counts[7] = 1e-3
    model.update(encodings, torch.zeros(2, 4, dtype=torch.int64), torch.tensor([0.1, 0.7]))
    assert model.counts[7] == 1.0


def test_perplexity_counts_codes():
    assert perplexity(torch.arange(8), 16).item() == pytest.approx(8.0, rel=1e-4)
    assert perplexity(torch.zeros(8, dtype=torch.int64), 16).item() == pytest.approx(1.0, rel=1e-4)
    assert used(torch.tensor([[3, 3], [5, 0]]), 16).item() == 3 / 16


# --- Memory ---


def memory() -> EpisodicMemory:
    torch.manual_seed(0)
    return EpisodicMemory(SETTINGS)


def test_an_empty_memory_says_nothing():
    said, _ = memory().read(torch.randn(3, 32))
    assert said.abs().sum() == 0


def test_memory_gives_back_what_was_stored_and_learns_how_to_ask():
    model, cue = memory(), torch.randn(3, 32)
    _, query = model.read(cue)
    model.write(query.detach(), torch.randn(3, 32), torch.tensor([1.0, 0.0, 2.0]))
    assert int((model.priorities > 0).sum()) == 2
    said, _ = model.read(cue)
    said.square().sum().backward()
    for weight in (model.query.weight, model.out.weight, model.gate):
        assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_memory_replaces_the_least_worthy_place():
    model = memory()
    model.priorities.copy_(torch.arange(16.0) + 1)
    model.write(torch.ones(1, 8), torch.ones(1, 32), torch.tensor([50.0]))
    assert model.priorities[0] == 50.0


def test_reading_makes_no_tensor_of_batch_times_capacity_times_width():
    model = memory()
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.extend(t.numel() for t in torch.utils._pytree.tree_leaves(result) if isinstance(t, torch.Tensor))
            return result

    with Watch():
        model.read(torch.randn(5, 32))
    assert max(sizes) < 5 * 16 * 32


# --- Capsules and EXPAND ---


def test_the_checksum_falls_with_what_the_sketch_knows_and_ignores_scale():
    torch.manual_seed(0)
    pool = CapsulePool(SETTINGS)
    capsules = pool(torch.randn(2, 4, 32))
    assert capsules.children is not None
    assert capsules.residual.shape == (2, 4) and (capsules.residual >= 0).all() and (capsules.residual <= 2).all()
    shrunk = pool.residual(capsules.sketches, pool.detail(0.01 * capsules.children))
    torch.testing.assert_close(shrunk, capsules.residual, atol=1e-4, rtol=1e-4)
    optimizer = torch.optim.Adam(pool.signature.parameters(), lr=1e-2)
    sketches, detail = capsules.sketches.detach(), pool.detail(capsules.children)
    for _ in range(100):
        optimizer.zero_grad()
        pool.residual(sketches, detail).mean().backward()
        optimizer.step()
    assert pool.residual(sketches, detail).mean() < 0.3 * capsules.residual.mean()


def test_the_checksum_is_about_what_is_unusual():
    # Children say mostly where they are; a sketch that knows that alone has lost all that matters.
    torch.manual_seed(0)
    pool = CapsulePool(SETTINGS)
    usual = torch.randn(1, 4, 2, 32)
    details = [pool.detail(usual + 0.1 * torch.randn(16, 4, 2, 32)) for _ in range(600)]
    optimizer = torch.optim.Adam(pool.signature.parameters(), lr=1e-2)
    ignorant = torch.randn(1, 4, 32).expand(16, -1, -1)
    for step, detail in enumerate(details):
        pool.follow(detail)
        if step < 300:
            optimizer.zero_grad()
            pool.residual(ignorant, detail).mean().backward()
            optimizer.step()
    assert pool.residual(ignorant, details[-1]).mean() > 0.8
    poisoned = details[-1].clone()
    poisoned[0] = torch.nan
    pool.follow(poisoned)
    assert pool.usual_detail.isfinite().all()


def test_the_checksum_teaches_the_sketch_and_not_the_children():
    pool = CapsulePool(SETTINGS)
    sketches, children = torch.randn(2, 4, 32, requires_grad=True), torch.randn(2, 4, 2, 32, requires_grad=True)
    pool.residual(sketches, pool.detail(children)).sum().backward()
    assert sketches.grad is not None and sketches.grad.abs().sum() > 0
    assert children.grad is None


def test_children_look_into_their_own_region_only():
    torch.manual_seed(0)
    pool, features = CapsulePool(SETTINGS), torch.randn(1, 4, 32)
    before = pool(features).children
    features[:, 3] += 5.0
    after = pool(features).children
    moved = (before - after).abs().amax((-1, -2))[0] > 1e-6
    assert moved.tolist() == [False, False, False, True]


def test_expand_opens_the_closed_capsule_with_the_largest_residual():
    opened = torch.tensor([[False, True, False], [False, False, False], [True, True, True]])
    residual = torch.tensor([[0.1, 0.9, 0.2], [0.3, 0.1, 0.2], [0.3, 0.1, 0.2]])
    after = expand(opened, residual, torch.tensor([True, False, True]))
    assert after.tolist() == [[False, True, True], [False, False, False], [True, True, True]]


# --- Decoder ---


def test_every_place_of_an_answer_knows_the_puzzle_without_looking_for_it():
    torch.manual_seed(0)
    decoder, batch = AnswerDecoder(SETTINGS, VOCABULARY, 16), make_batch()
    slots, visible = torch.randn(6, 14, 32), torch.ones(6, 14, dtype=torch.bool)
    visible[:, 0] = False  # nothing can be read from register 0
    before = decoder(slots, visible, batch["target"], batch["target_kind"]).hidden
    slots[:, 0] = torch.randn(6, 32)
    after = decoder(slots, visible, batch["target"], batch["target_kind"]).hidden
    assert ((before - after).abs().amax(-1) > 1e-4).all()


def test_cells_of_one_row_or_column_learn_from_each_other_and_each_for_itself():
    torch.manual_seed(0)
    decoder = AnswerDecoder(SETTINGS, VOCABULARY, 16)
    side = SETTINGS.geometry.cells_per_side
    before = decoder._queries(side * side)
    before[1].sum().backward()  # the cell in row 0, column 1
    with torch.no_grad():
        for parameter in (decoder.places, decoder.rows, decoder.columns):
            parameter -= 0.01 * parameter.grad
        moved = (decoder._queries(side * side) - before).norm(dim=-1).view(side, side)
    assert (moved[0] > 1e-5).all() and (moved[:, 1] > 1e-5).all()
    assert (moved[1:, torch.arange(side) != 1] == 0).all()
    assert moved[0, 1] > 1.5 * moved[2, 1], "a place has a part that no other shares"
