"""What the tests run in two processes: every exchange between processes, each result compared at once."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.multiprocessing.reductions import StorageWeakRef

from tests.support.runs import differing
from tests.training.distributed.sharded_ranks import BATCH, made, sharded_half_precision, sharded_updates, small_model
from trm_cli.console.output import silence
from trm_cli.errors import ExitCode, TrmError
from trm_cli.schedule.clock import Clock
from trm_cli.training.distributed.config_agreement import require_same_weights_on_all_ranks
from trm_cli.training.distributed.full_state import gather_state, gather_weights, local_state, total_sums
from trm_cli.training.distributed.gradient_sum import GradientSum
from trm_cli.training.distributed.joining import end_process, join_process_group
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.distributed.stop_agreement import StopAgreement
from trm_cli.training.optimizers.sign_sgd import SignSGD
from trm_cli.training.signals import StopRequest
from trm_cli.training.step import StepSettings, update


def numbers_and_objects(process_group: ProcessGroup) -> None:
    assert process_group.total([1.5, process_group.rank]) == [3.0, 1.0]
    assert process_group.largest([process_group.rank, -process_group.rank]) == [1, 0]
    assert process_group.from_first(lambda: Path("of") / str(process_group.rank)) == Path("of/0")


def rows_of_every_type(process_group: ProcessGroup) -> None:
    whole = torch.arange(BATCH * 3).view(BATCH, 3)
    kinds = [torch.float32, torch.bfloat16, torch.float16, torch.int32, torch.int64, torch.uint8, torch.bool]
    everything = [whole.to(kind) for kind in kinds] + [
        whole[:, 0].float(),
        whole.float()[:, None].expand(-1, 2, -1),
    ]
    mine = [tensor[process_group.rows(BATCH)] for tensor in everything]
    for found, expected in zip(process_group.gather(mine), everything, strict=True):
        assert found.dtype == expected.dtype and torch.equal(found, expected)


def states(process_group: ProcessGroup) -> None:
    state: dict[str, Any] = {
        "weights": {"a": torch.arange(5.0), "b": torch.tensor(True), "none": torch.zeros(0, 3)},
        "moments": [{"step": 3, "m": torch.ones(2, 2).bfloat16()}],
        "step": 7,
    }
    got = process_group.state_from_first(lambda: (state, Path("x")))
    assert got[1] == Path("x") and got[0]["step"] == 7 and got[0]["moments"][0]["step"] == 3
    assert torch.equal(got[0]["weights"]["a"], torch.arange(5.0)) and got[0]["weights"]["none"].shape == (0, 3)
    assert got[0]["weights"]["b"] and got[0]["moments"][0]["m"].dtype == torch.bfloat16


def carry_and_sums(process_group: ProcessGroup) -> None:
    whole = {"z": {"z_H": torch.rand(BATCH, 2, 3, generator=torch.manual_seed(0))}, "steps": torch.arange(BATCH)}
    rows = process_group.rows(BATCH)
    own = {"z": {"z_H": whole["z"]["z_H"][rows]}, "steps": whole["steps"][rows]}  # type: ignore[index]
    same = {"updates": 3.0, "applied/grad_norm": 2.0}
    own_sums = {**same, "loss/loss": 1.0 + process_group.rank, "text_rows/count": 4.0 * process_group.rank}
    sums = {name: torch.tensor(value) for name, value in own_sums.items()}
    of_both = {**same, "loss/loss": 3.0, "text_rows/count": 4.0}
    assert total_sums(own_sums, process_group) == of_both
    gathered = gather_state({"model": {"a": torch.ones(3)}, "carry": own, "sums": sums}, process_group)
    assert torch.equal(gathered["carry"]["z"]["z_H"], whole["z"]["z_H"])  # type: ignore[index]
    back = local_state(gathered, process_group)
    assert torch.equal(back["carry"]["steps"], own["steps"])
    assert {name: float(value) for name, value in back["sums"].items()} == own_sums
    alone = local_state(gathered, ProcessGroup())
    assert torch.equal(alone["carry"]["steps"], whole["steps"])  # type: ignore[arg-type]
    assert {name: float(value) for name, value in alone["sums"].items()} == of_both


def weights_that_differ_are_noticed(process_group: ProcessGroup) -> None:
    require_same_weights_on_all_ranks({"a": torch.ones(3), "b": torch.tensor([True])}, process_group)
    try:
        require_same_weights_on_all_ranks({"a": torch.ones(3) + 1e-7 * process_group.rank}, process_group)
    except TrmError as error:
        assert "weights of this run differ" in error.message
    else:
        raise AssertionError("a different bit was not noticed")


def gradients_of(table: nn.Parameter, weight: nn.Parameter, ids: Tensor, rows: Tensor) -> None:
    looked_up = nn.functional.embedding(ids, table, sparse=True)
    ((looked_up * rows).sum() + (weight * rows.sum(0)).sum()).backward()


def gradients(process_group: ProcessGroup, uneven: bool) -> None:
    """Sums of two processes are those of one, and each row of the table moves as far and in the same direction."""
    ids = torch.tensor([0, 3, 3, 1, 3, 1, 0, 4])
    rows = torch.randn(BATCH, 6, generator=torch.manual_seed(1))
    rows[4] = -rows[1] - rows[2]  # equal ids of both processes whose sum is zero: no sign of a part is the sign of it
    share = slice(0, 5) if uneven and process_group.first else slice(5, 8) if uneven else process_group.rows(BATCH)

    def parameters() -> tuple[nn.Parameter, nn.Parameter, nn.Parameter]:
        return nn.Parameter(torch.ones(6, 6)), nn.Parameter(torch.zeros(6)), nn.Parameter(torch.zeros(2))

    expected_table, expected, _ = parameters()
    gradients_of(expected_table, expected, ids, rows)
    table, weight, unused = parameters()
    sums = GradientSum([weight, unused], table, process_group)
    for bad in (True, False):  # the second time gradients have their places
        weight.grad = table.grad = None
        sums.expect(torch.tensor(bad and process_group.first))
        gradients_of(table, weight, ids[share], rows[share])
        assert bool(sums.finish()) is not bad and unused.grad is None
    assert torch.allclose(weight.grad, expected.grad, atol=1e-6)  # type: ignore[arg-type]
    memory = StorageWeakRef(weight.grad.untyped_storage())  # type: ignore[union-attr]
    weight.grad = None
    latest = time.monotonic() + 10  # the thread that exchanged the sums lets go of them when it comes to run again
    while not memory.expired():
        assert time.monotonic() < latest, "the sums lie in the gradients alone"
        time.sleep(0.01)
    assert torch.equal(table.grad.coalesce().values(), expected_table.grad.coalesce().values())  # type: ignore[union-attr]
    for each in (table, expected_table):
        SignSGD(each, weight_decay=0.1).step(lr=0.5)
    assert torch.equal(table, expected_table)
    assert torch.equal(table[2], torch.ones(6)) and not torch.equal(table[3], torch.ones(6))


def requests_travel_with_the_gradients(process_group: ProcessGroup) -> None:
    """What one process is asked for all know after an update, at the cost of no exchange more."""
    stop, weight = StopRequest(), nn.Parameter(torch.zeros(6))
    agreed = StopAgreement(stop, process_group, lambda: not process_group.first)
    sums = GradientSum([weight], None, process_group, agreed)
    if process_group.first:
        stop._receive(signal.SIGTERM, None)
    sums.expect(torch.tensor(False))
    weight.sum().backward()
    with patch.object(process_group, "_reduced", wraps=process_group._reduced) as exchanges:  # type: ignore[attr-defined]
        sums.finish()
    assert exchanges.call_count == 1
    assert (agreed.exit_code, agreed.save_wanted, agreed.due) == (ExitCode.TERMINATED, False, True)


def weights_are_put_together(process_group: ProcessGroup) -> None:
    """Also those with fewer rows than processes, or rows that cannot be shared evenly."""
    mesh = init_device_mesh("cpu", (2,))
    for rows in (1, 3, 4):
        whole = torch.arange(rows * 2.0).view(rows, 2)
        part = distribute_tensor(whole, mesh, [Shard(0)])
        found = gather_weights({"in parts": part, "plain": whole}, process_group)
        assert differing(found, {"in parts": whole, "plain": whole} if process_group.first else {}) == []


def an_update_that_one_process_refuses(process_group: ProcessGroup) -> None:
    """Where the numbers of one process are not finite, none of them changes a weight."""
    state = made(small_model(), False)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    rows = {"inputs": torch.ones(4, 16, dtype=torch.int64), "labels": torch.ones(4, 16, dtype=torch.int64)}
    batch = {**rows, "puzzle_identifiers": torch.zeros(4, dtype=torch.int64)}
    clock = Clock(lr=1e-2, puzzle_emb_lr=1e-2)
    sums = GradientSum(state.trunk_parameters(), state.table, process_group)
    settings = StepSettings(BATCH, None, process_group=process_group, gradient_sum=sums)
    expect = sums.expect
    for refuses in (True, False):
        sums.expect = lambda bad, refuses=refuses: expect(bad | (refuses and not process_group.first))  # type: ignore[method-assign, misc]
        skipped = update(state, batch, torch.rand(4, 2), clock, settings)
        assert (skipped is not None) is refuses
        assert (differing(before, state.model.state_dict()) == []) is refuses
    assert (state.skipped, state.skipped_in_a_row) == (1, 0)


def main(out: Path) -> None:
    with join_process_group(global_batch_size=BATCH, device="cpu", silence=silence) as process_group:
        for check in (numbers_and_objects, rows_of_every_type, states, carry_and_sums, weights_that_differ_are_noticed):
            check(process_group)
        for uneven in (False, True):
            gradients(process_group, uneven)
        requests_travel_with_the_gradients(process_group)
        weights_are_put_together(process_group)
        sharded_updates(process_group, out)
        sharded_half_precision(process_group)
        an_update_that_one_process_refuses(process_group)
        (out / f"rank {process_group.rank}").write_text(f"{process_group.count} {process_group.local_count}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    end_process(0)  # as runs do: threads of an exchange can abort a process on its way out
