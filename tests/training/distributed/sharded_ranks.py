"""What is asked of sharded states by the two processes of `two_ranks.py`, and small runs for that."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.support.runs import TINY_RUN, differing
from trm_cli.config.compose import compose
from trm_cli.models.families import create_network
from trm_cli.models.network import Network
from trm_cli.schedule.clock import Clock
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.training.checkpoint.disk_space import checkpoint_bytes
from trm_cli.training.checkpoint.sharded_saving import save_sharded
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.full_state import local_state
from trm_cli.training.distributed.gradient_sum import GradientSum
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.distributed.sharding import gathered, shard
from trm_cli.training.distributed.tensor_shards import TensorShards, is_sharded, local_tensors
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.run.build import make_state
from trm_cli.training.state.training_state import TrainingState
from trm_cli.training.step import StepSettings, update

BATCH = 8
SMALL_HRM = (
    "hidden_size=32",
    "num_heads=2",
    "puzzle_emb_ndim=32",
    "H_layers=1",
    "L_layers=1",
    "H_cycles=2",
    "L_cycles=1",
)
CONFIG = compose(
    "sudoku-4x4",
    ["arch=trm_sudoku_att", "arch.num_heads=2", "arch.puzzle_emb_ndim=16", *TINY_RUN, "puzzle_emb_weight_decay=0.1"],
).config


def small_model() -> Network:
    torch.manual_seed(0)
    return create_network(CONFIG.arch, vocab_size=6, seq_len=16, num_puzzle_identifiers=5)


def made(model: Network, sharded: bool) -> TrainingState:
    state = make_state(CONFIG, model, Machine.choose(CONFIG, 16))
    state.sharded = sharded
    return state


def moments(state: dict[str, Any]) -> dict[int, Any]:
    return dict(state["trunk_optimizer"]["state"])


def joined(value: Any) -> Any:
    """A state with its sharded tensors whole."""
    if isinstance(value, dict):
        return {name: joined(item) for name, item in value.items()}
    return value.full_tensor() if isinstance(value, Tensor) and is_sharded(value) else value


def saved_and_read(state: TrainingState, process_group: ProcessGroup, out: Path) -> dict[str, Any]:
    """The state after a save in parts, as one process reads it; once more with a disk that fails in one process."""
    store = CheckpointStore(out / "run", keep=1)
    own = state.state_dict(with_carry=False)
    synced: list[int] = []
    about: dict[str, Any] = {"run": "r"} if process_group.first else {}
    save_sharded(store, 0, own, about, best=True, process_group=process_group, sync=lambda: synced.append(1))
    assert synced == [1] * process_group.first
    found = process_group.from_first(lambda: load_checkpoint(store.path(0))[1])
    assert (found["run"], len(found["parts"]["files"])) == ("r", 2)
    store.save_shard = refuses if not process_group.first else store.save_shard  # type: ignore[method-assign]
    try:
        save_sharded(store, 0, own, about, best=True, process_group=process_group, sync=list)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    else:
        raise AssertionError("a part that is missing was committed")
    whole: dict[str, Any] = load_checkpoint(store.path(0))[0]
    assert abs(checkpoint_bytes(own) - checkpoint_bytes(whole)) < 500, "room is asked for for all parts"
    process_group.total([0])
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
    return TensorShards([*chunks, *[value[:0]] * (count - len(chunks))], value.shape)


def given() -> tuple[dict[str, Tensor], Tensor]:
    """The rows of a whole batch, and its draws."""
    random = torch.Generator().manual_seed(2)
    shape = (BATCH, 16)
    batch = {
        "inputs": torch.randint(1, 6, shape, generator=random),
        "labels": torch.randint(1, 6, shape, generator=random),
        "puzzle_identifiers": torch.arange(BATCH) % 4,
    }
    return batch, torch.rand(BATCH, 2, generator=random)


def settings_of(state: TrainingState, process_group: ProcessGroup) -> StepSettings:
    """Of updates in which this process takes part."""
    sums = GradientSum(state.trunk_parameters(), state.table, process_group)
    return StepSettings(BATCH, 0.5, process_group=process_group, gradient_sum=sums)


def sharded_updates(process_group: ProcessGroup, out: Path) -> None:
    """Weights, moments and average in parts are updated as whole ones are, and are put together whole."""
    batch, draws = given()
    mine = process_group.rows(BATCH)
    clock = Clock(lr=1e-2, puzzle_emb_lr=1e-2)
    model = small_model()
    shard(model, count=2, device_type="cpu", precision="float32")
    copies, parts = made(small_model(), False), made(model, True)
    of_copies, of_parts = (settings_of(state, process_group) for state in (copies, parts))
    own = {name: value[mine] for name, value in batch.items()}
    for _ in range(4):
        update(copies, own, draws[mine], clock, of_copies)
        update(parts, own, draws[mine], clock, of_parts)
    weight = dict(model.named_parameters())["lm_head"]
    assert is_sharded(weight) and local_tensors([weight])[0].shape == (3, 16)
    stored = saved_and_read(parts, process_group, out)
    together = {**joined(parts.state_dict(with_carry=False)), "sums": stored["sums"]}
    assert all(len(numbers) == 2 for numbers in stored["sums"].values()), "one of each process"
    assert differing(stored, together) == [], "what is put together from files is what FSDP puts together"
    if process_group.first:
        expected = copies.state_dict()
        for kind in ("model", "ema"):
            for name, value in expected[kind].items():
                # Not to the bit: vector and scalar forms of one function round differently, and parts end elsewhere.
                assert torch.allclose(together[kind][name], value, atol=1e-4), (kind, name)
        assert not torch.equal(together["ema"]["lm_head"], together["model"]["lm_head"])
    back = made(small_model(), False)
    back.load_state_dict(local_state(stored, ProcessGroup()), torch.device("cpu"))
    for kind in ("model", "ema"):
        assert differing(back.state_dict()[kind], stored[kind]) == [], "whole tensors fit a model that is not sharded"
    assert differing(moments(back.state_dict()), moments(stored)) == []
    again = made(small_model(), True)
    shard(again.model, count=2, device_type="cpu", precision="float32")
    again = made(again.model, True)
    again.load_state_dict(local_state(stored, process_group), torch.device("cpu"))
    expected_parts = {name: stored[name] for name in ("model", "ema", "trunk_optimizer")}
    for count in (0, 1, 2, 3):  # as many processes may have written it; 0: it is an ordinary checkpoint
        pieces = cut(expected_parts, count) if count else {}
        again.load_state_dict({**local_state(stored, process_group), **pieces}, torch.device("cpu"))
        found = joined({name: value for name, value in again.state_dict().items() if name in expected_parts})
        assert differing(found, expected_parts) == [], count
    with gathered(again.model, sharded=True):
        carry = again.model.initial_carry(batch)  # type: ignore[operator]
        _, outputs = again.model.advance(carry, batch)  # type: ignore[operator]
    assert is_sharded(dict(again.model.named_parameters())["lm_head"])
    _, expected_outputs = back.model.advance(carry, batch)  # type: ignore[operator]
    assert torch.allclose(outputs.logits, expected_outputs.logits, atol=1e-5)


def sharded_half_precision(process_group: ProcessGroup) -> None:
    """Weights in parts are gathered, cast and updated as whole ones are, in a network of two stacks and look-aheads."""
    arch = compose("sudoku-4x4", ["arch=hrm", *(f"arch.{word}" for word in SMALL_HRM)]).config.arch
    shape = {"vocab_size": 6, "seq_len": 16, "num_puzzle_identifiers": 5}

    def model() -> Network:
        torch.manual_seed(0)
        return create_network(arch, **shape, forward_dtype="bfloat16")

    parts_model = model()
    shard(parts_model, count=2, device_type="cpu", precision="bfloat16")
    whole, parts = made(model(), False), made(parts_model, True)
    batch, draws = given()
    mine = process_group.rows(BATCH)
    own = {name: value[mine] for name, value in batch.items()}
    clock = Clock(lr=1e-2, puzzle_emb_lr=1e-2)
    of_each = [(state, settings_of(state, process_group)) for state in (whole, parts)]
    for _ in range(2):
        for state, settings in of_each:
            assert update(state, own, draws[mine], clock, settings) is None
    together = joined(parts.state_dict(with_carry=False))
    for name, value in whole.state_dict()["model"].items():
        assert torch.allclose(together["model"][name], value, atol=1e-3), name
    assert parts.carry is not None and {z.dtype for z in parts.carry.z.values()} == {torch.bfloat16}
