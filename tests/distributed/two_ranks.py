"""What the tests run in two processes: every exchange between peers, with its result compared on the spot."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from tests.training.runs import TINY_RUN, differing
from trm_cli.config.compose import compose
from trm_cli.console.output import silence
from trm_cli.errors import TrmError
from trm_cli.models import create_model
from trm_cli.training.checkpoint_file import load_checkpoint
from trm_cli.training.checkpoint_store import CheckpointStore
from trm_cli.training.distributed.alike import check_alike
from trm_cli.training.distributed.gradients import reduce_gradients
from trm_cli.training.distributed.joining import joined as join_peers
from trm_cli.training.distributed.part_saving import save_in_parts
from trm_cli.training.distributed.peers import Peers
from trm_cli.training.distributed.sharding import gathered, shard
from trm_cli.training.distributed.shards import is_shard, local_parts
from trm_cli.training.distributed.whole_state import gather_state, gather_weights, own_state, total_sums
from trm_cli.training.gradients import Finite, finite
from trm_cli.training.optimizers.sign_sgd import SignSGD
from trm_cli.training.parts import Pieces
from trm_cli.training.room import checkpoint_bytes
from trm_cli.training.session import Machine, make_state
from trm_cli.training.state import TrainingState
from trm_cli.training.step import StepSettings, update

BATCH = 8


def numbers_and_objects(peers: Peers) -> None:
    assert peers.total([1.5, peers.rank]) == [3.0, 1.0]
    assert peers.largest([peers.rank, -peers.rank]) == [1, 0]
    assert peers.from_first(lambda: Path("of") / str(peers.rank)) == Path("of/0")


def rows_of_every_type(peers: Peers) -> None:
    whole = torch.arange(BATCH * 3).view(BATCH, 3)
    kinds = [torch.float32, torch.bfloat16, torch.float16, torch.int32, torch.int64, torch.uint8, torch.bool]
    everything = [whole.to(kind) for kind in kinds] + [
        whole[:, 0].float(),
        whole.float()[:, None].expand(-1, 2, -1),
    ]
    mine = [tensor[peers.rows(BATCH)] for tensor in everything]
    for found, expected in zip(peers.gather(mine), everything, strict=True):
        assert found.dtype == expected.dtype and torch.equal(found, expected)


def states(peers: Peers) -> None:
    state: dict[str, Any] = {
        "weights": {"a": torch.arange(5.0), "b": torch.tensor(True), "none": torch.zeros(0, 3)},
        "moments": [{"step": 3, "m": torch.ones(2, 2).bfloat16()}],
        "step": 7,
    }
    got = peers.state_from_first(lambda: (state, Path("x")))
    assert got[1] == Path("x") and got[0]["step"] == 7 and got[0]["moments"][0]["step"] == 3
    assert torch.equal(got[0]["weights"]["a"], torch.arange(5.0)) and got[0]["weights"]["none"].shape == (0, 3)
    assert got[0]["weights"]["b"] and got[0]["moments"][0]["m"].dtype == torch.bfloat16


def carry_and_sums(peers: Peers) -> None:
    whole = {"z": {"z_H": torch.rand(BATCH, 2, 3, generator=torch.manual_seed(0))}, "steps": torch.arange(BATCH)}
    rows = peers.rows(BATCH)
    own = {"z": {"z_H": whole["z"]["z_H"][rows]}, "steps": whole["steps"][rows]}  # type: ignore[index]
    same = {"updates": 3.0, "applied/grad_norm": 2.0}
    own_sums = {**same, "loss/loss": 1.0 + peers.rank, "text_rows/count": 4.0 * peers.rank}
    sums = {name: torch.tensor(value) for name, value in own_sums.items()}
    of_both = {**same, "loss/loss": 3.0, "text_rows/count": 4.0}
    assert total_sums(own_sums, peers) == of_both
    gathered = gather_state({"model": {"a": torch.ones(3)}, "carry": own, "sums": sums}, peers)
    assert torch.equal(gathered["carry"]["z"]["z_H"], whole["z"]["z_H"])  # type: ignore[index]
    back = own_state(gathered, peers)
    assert torch.equal(back["carry"]["steps"], own["steps"])
    assert {name: float(value) for name, value in back["sums"].items()} == own_sums
    alone = own_state(gathered, Peers())
    assert torch.equal(alone["carry"]["steps"], whole["steps"])  # type: ignore[arg-type]
    assert {name: float(value) for name, value in alone["sums"].items()} == of_both


def weights_that_differ_are_noticed(peers: Peers) -> None:
    check_alike({"a": torch.ones(3), "b": torch.tensor([True])}, peers)
    try:
        check_alike({"a": torch.ones(3) + 1e-7 * peers.rank}, peers)
    except TrmError as error:
        assert "drifted apart" in error.message
    else:
        raise AssertionError("a different bit was not noticed")


def gradients_of(table: nn.Parameter, weight: nn.Parameter, ids: Tensor, rows: Tensor) -> None:
    looked_up = nn.functional.embedding(ids, table, sparse=True)
    ((looked_up * rows).sum() + (weight * rows.sum(0)).sum()).backward()


def gradients(peers: Peers, uneven: bool) -> None:
    """Sums of two processes are those of one, and each row of the table moves as far and in the same direction."""
    ids = torch.tensor([0, 3, 3, 1, 3, 1, 0, 4])
    rows = torch.randn(BATCH, 6, generator=torch.manual_seed(1))
    rows[4] = -rows[1] - rows[2]  # equal ids of both processes whose sum is zero: no sign of a part is the sign of it
    share = slice(0, 5) if uneven and peers.first else slice(5, 8) if uneven else peers.rows(BATCH)

    def parameters() -> tuple[nn.Parameter, nn.Parameter, nn.Parameter]:
        return nn.Parameter(torch.ones(6, 6)), nn.Parameter(torch.zeros(6)), nn.Parameter(torch.zeros(2))

    expected_table, expected, _ = parameters()
    gradients_of(expected_table, expected, ids, rows)
    table, weight, unused = parameters()
    gradients_of(table, weight, ids[share], rows[share])
    reduce_gradients([weight, unused], table, peers)
    assert unused.grad is None
    assert torch.allclose(weight.grad, expected.grad, atol=1e-6)  # type: ignore[arg-type]
    assert torch.equal(table.grad.coalesce().values(), expected_table.grad.coalesce().values())  # type: ignore[union-attr]
    for each in (table, expected_table):
        SignSGD(each, weight_decay=0.1).step(lr=0.5)
    assert torch.equal(table, expected_table)
    assert torch.equal(table[2], torch.ones(6)) and not torch.equal(table[3], torch.ones(6))


CONFIG = compose(
    "sudoku-4x4",
    ["arch=trm_sudoku_att", "arch.num_heads=2", "arch.puzzle_emb_ndim=16", *TINY_RUN, "puzzle_emb_weight_decay=0.1"],
).config


def weights_are_put_together(peers: Peers) -> None:
    """Also those with fewer rows than processes, or rows that cannot be shared evenly."""
    mesh = init_device_mesh("cpu", (2,))
    for rows in (1, 3, 4):
        whole = torch.arange(rows * 2.0).view(rows, 2)
        part = distribute_tensor(whole, mesh, [Shard(0)])
        found = gather_weights({"in parts": part, "plain": whole}, peers)
        assert differing(found, {"in parts": whole, "plain": whole} if peers.first else {}) == []


def small_model() -> nn.Module:
    torch.manual_seed(0)
    settings = {**CONFIG.arch.model_dump(exclude={"family", "name"}), "forward_dtype": "float32"}
    return create_model(CONFIG.arch.family, settings, vocab_size=6, seq_len=16, num_puzzle_identifiers=5)


def made(model: nn.Module, sharded: bool) -> TrainingState:
    state = make_state(CONFIG, model, Machine.choose(CONFIG, 16))
    state.sharded = sharded
    return state


def moments(state: dict[str, Any]) -> dict[int, Any]:
    return dict(state["trunk_optimizer"]["state"])


def joined(value: Any) -> Any:
    """A state with its sharded tensors whole."""
    if isinstance(value, dict):
        return {name: joined(item) for name, item in value.items()}
    return value.full_tensor() if isinstance(value, Tensor) and is_shard(value) else value


def saved_and_read(state: TrainingState, peers: Peers, out: Path) -> dict[str, Any]:
    """The state after a save in parts, as one process reads it; once more with a disk that fails in one process."""
    store = CheckpointStore(out / "run", keep=1)
    own = state.state_dict(with_carry=False)
    synced: list[int] = []
    about: dict[str, Any] = {"run": "r"} if peers.first else {}
    save_in_parts(store, 0, own, about, best=True, peers=peers, sync=lambda: synced.append(1))
    assert synced == [1] * peers.first
    found = peers.from_first(lambda: load_checkpoint(store.path(0))[1])
    assert (found["run"], len(found["parts"]["files"])) == ("r", 2)
    store.save_part = refuses if not peers.first else store.save_part  # type: ignore[method-assign]
    try:
        save_in_parts(store, 0, own, about, best=True, peers=peers, sync=list)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    else:
        raise AssertionError("a part that is missing was committed")
    whole: dict[str, Any] = load_checkpoint(store.path(0))[0]
    assert abs(checkpoint_bytes(own) - checkpoint_bytes(whole)) < 500, "room is asked for for all parts"
    peers.total([0])
    return whole


def refuses(*args: Any) -> Any:
    raise OSError(errno.ENOSPC, "full")


def cut(value: Any, count: int) -> Any:
    """The tensors of a state of which FSDP makes parts, in so many pieces."""
    if isinstance(value, dict):
        return {name: item if name == "puzzle_embedding.weight" else cut(item, count) for name, item in value.items()}
    if not isinstance(value, Tensor) or not value.ndim:
        return value
    chunks = torch.chunk(value, count)
    return Pieces([*chunks, *[value[:0]] * (count - len(chunks))], value.shape)


def sharded_updates(peers: Peers, out: Path) -> None:
    """Weights, moments and average in parts are updated as whole ones are, and are put together whole."""
    random = torch.Generator().manual_seed(2)
    shape = (BATCH, 16)
    batch = {
        "inputs": torch.randint(1, 6, shape, generator=random),
        "labels": torch.randint(1, 6, shape, generator=random),
        "puzzle_identifiers": torch.arange(BATCH) % 4,
    }
    draws = torch.rand(BATCH, 2, generator=random)
    mine = peers.rows(BATCH)
    values = {"lr": 1e-2, "puzzle_emb_lr": 1e-2}
    model = small_model()
    shard(model, count=2, device_type="cpu", precision="float32")
    copies, parts = made(small_model(), False), made(model, True)
    settings = StepSettings(BATCH, 0.5, peers=peers)
    own = {name: value[mine] for name, value in batch.items()}
    for _ in range(4):
        update(copies, own, draws[mine], values, (), settings)
        update(parts, own, draws[mine], values, (), settings)
    weight = dict(model.named_parameters())["lm_head"]
    assert is_shard(weight) and local_parts([weight])[0].shape == (3, 16)
    stored = saved_and_read(parts, peers, out)
    together = {**joined(parts.state_dict(with_carry=False)), "sums": stored["sums"]}
    assert all(len(numbers) == 2 for numbers in stored["sums"].values()), "one of each process"
    assert differing(stored, together) == [], "what is put together from files is what FSDP puts together"
    if peers.first:
        expected = copies.state_dict()
        for kind in ("model", "ema"):
            for name, value in expected[kind].items():
                # Not to the bit: vector and scalar forms of one function round differently, and parts end elsewhere.
                assert torch.allclose(together[kind][name], value, atol=1e-4), (kind, name)
        assert not torch.equal(together["ema"]["lm_head"], together["model"]["lm_head"])
    back = made(small_model(), False)
    back.load_state_dict(own_state(stored, Peers()), torch.device("cpu"))
    for kind in ("model", "ema"):
        assert differing(back.state_dict()[kind], stored[kind]) == [], "whole tensors fit a model that is not sharded"
    assert differing(moments(back.state_dict()), moments(stored)) == []
    again = made(small_model(), True)
    shard(again.model, count=2, device_type="cpu", precision="float32")
    again = made(again.model, True)
    again.load_state_dict(own_state(stored, peers), torch.device("cpu"))
    expected_parts = {name: stored[name] for name in ("model", "ema", "trunk_optimizer")}
    for count in (0, 1, 2, 3):  # as many processes may have written it; 0: it is an ordinary checkpoint
        pieces = cut(expected_parts, count) if count else {}
        again.load_state_dict({**own_state(stored, peers), **pieces}, torch.device("cpu"))
        found = joined({name: value for name, value in again.state_dict().items() if name in expected_parts})
        assert differing(found, expected_parts) == [], count
    with gathered(again.model, sharded=True):
        carry = again.model.initial_carry(batch)  # type: ignore[operator]
        _, outputs = again.model.advance(carry, batch, None, None)  # type: ignore[operator]
    assert is_shard(dict(again.model.named_parameters())["lm_head"])
    _, expected_outputs = back.model.advance(carry, batch, None, None)  # type: ignore[operator]
    assert torch.allclose(outputs.logits, expected_outputs.logits, atol=1e-5)


def an_update_that_one_process_refuses(peers: Peers) -> None:
    """Where the numbers of one process are not finite, none of them changes a weight."""
    state = made(small_model(), False)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    rows = {"inputs": torch.ones(4, 16, dtype=torch.int64), "labels": torch.ones(4, 16, dtype=torch.int64)}
    batch = {**rows, "puzzle_identifiers": torch.zeros(4, dtype=torch.int64)}
    values = {"lr": 1e-2, "puzzle_emb_lr": 1e-2}
    for refuses in (True, False):
        judge = (lambda loss, norms: Finite(peers.first, True)) if refuses else finite
        skipped = update(
            state, batch, torch.rand(4, 2), values, (), StepSettings(BATCH, None, judge=judge, peers=peers)
        )
        assert (skipped is not None) is refuses
        assert (differing(before, state.model.state_dict()) == []) is refuses
    assert (state.skipped, state.skipped_in_a_row) == (1, 0)


def main(out: Path) -> None:
    with join_peers(global_batch_size=BATCH, device="cpu", silence=silence) as peers:
        for check in (numbers_and_objects, rows_of_every_type, states, carry_and_sums, weights_that_differ_are_noticed):
            check(peers)
        for uneven in (False, True):
            gradients(peers, uneven)
        weights_are_put_together(peers)
        sharded_updates(peers, out)
        an_update_that_one_process_refuses(peers)
        (out / f"rank {peers.rank}").write_text(f"{peers.count} {peers.local_count}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
