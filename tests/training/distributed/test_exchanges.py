"""Rows, gradients, states and agreements between two processes, and the launcher that starts them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.boards import write_boards
from tests.training.distributed.launching import ROOT, several_processes
from trm_cli.config.compose import compose
from trm_cli.errors import ExitCode, UsageError
from trm_cli.training.distributed.joining import RankInfo, read_rank_info
from trm_cli.training.distributed.launcher import launch
from trm_cli.training.distributed.process_group import ProcessGroup, check_divides, own_rows
from trm_cli.training.distributed.stop_agreement import StopAgreement
from trm_cli.training.loop import draws_of_rows
from trm_cli.training.run.datasets import Datasets, TrainBatches
from trm_cli.training.signals import StopRequest


def test_every_exchange_between_two_processes(tmp_path: Path) -> None:
    done = several_processes(2, ROOT / "tests/training/distributed/two_ranks.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rank 0", "rank 1", "run"]
    assert (tmp_path / "rank 1").read_text() == "2 2"


@pytest.mark.slow
def test_what_speaks_against_the_wrapper_of_torch() -> None:
    """It takes means, refuses a weight without a gradient, and adds in another order after its first update."""
    done = several_processes(3, ROOT / "tests/training/distributed/engine_ranks.py")
    assert done.returncode == 0, done.stderr


def test_rows_are_contiguous_and_complete() -> None:
    for total in range(1, 20):
        for count in range(1, 8):
            slices = [own_rows(total, rank, count) for rank in range(count)]
            assert [row for part in slices for row in range(total)[part]] == list(range(total))


def test_the_rows_of_all_processes_are_the_batch_of_one(tmp_path: Path) -> None:
    """Data and chance of a row do not depend on who computes it."""
    dataset = Datasets.open(compose("sudoku-4x4", [f"data_paths=[{write_boards(tmp_path / 'data')}]"]).config)
    plan = dataset.plan(compose("sudoku-4x4", ["global_batch_size=12"]).config)
    for step in (1, 2, 7):
        whole = TrainBatches(dataset.train, plan, 3).train_batch(step)
        draws = draws_of_rows(3, step, slice(0, 12), 12, 5)
        assert len(np.unique(draws)) == draws.size
        for count in (2, 3, 4):
            parts = [
                TrainBatches(dataset.train, plan, 3, one_of(rank, count)).train_batch(step) for rank in range(count)
            ]
            for name, value in whole.items():
                assert np.array_equal(np.concatenate([part[name] for part in parts]), value)
            own = [draws_of_rows(3, step, one_of(rank, count).rows(12), 12, 5) for rank in range(count)]
            assert np.array_equal(np.concatenate(own), draws)


def one_of(rank: int, count: int) -> ProcessGroup:
    """A process that knows its place, and asks the others nothing."""
    process_group = ProcessGroup()
    process_group.rank, process_group.count = rank, count
    return process_group


class Elsewhere(ProcessGroup):
    """Another process was asked for what its flags say: to be interrupted, to end, to save, and that it owes a save."""

    count = 2

    def __init__(self, *flags: int) -> None:
        self.flags = flags

    def largest(self, numbers: Sequence[int]) -> list[int]:
        return [max(pair) for pair in zip(numbers, self.flags, strict=True)]


def test_what_one_process_is_asked_for_all_know_after_a_poll_and_none_before() -> None:
    stop = StopRequest()
    asked = StopAgreement(stop, Elsewhere(0, 0, 0, 0))
    for number in (signal.SIGTERM, signal.SIGUSR1):
        stop._receive(number, None)
    assert (bool(asked), asked.save_wanted) == (False, False)
    asked.poll()
    assert (asked.exit_code, asked.save_wanted, asked.due) == (ExitCode.TERMINATED, True, False)
    asked.save_wanted = False
    assert (stop.save_wanted, asked.save_wanted) == (False, False)
    for flags, code in (((1, 0, 0, 0), ExitCode.INTERRUPTED), ((0, 1, 1, 1), ExitCode.TERMINATED)):
        told = StopAgreement(StopRequest(), Elsewhere(*flags))
        told.poll()
        assert (told.exit_code, told.save_wanted, told.due) == (code, bool(flags[2]), bool(flags[3]))
    alone = StopAgreement(stop, ProcessGroup())
    assert bool(alone), "a process that is alone need not poll"


def test_a_batch_that_cannot_be_shared_names_the_numbers_that_fit() -> None:
    check_divides(12, 4)
    with pytest.raises(UsageError, match="global_batch_size=12 cannot be shared evenly by 5 processes") as caught:
        check_divides(12, 5)
    assert caught.value.hint == "use 2, 3, 4 or 6 processes, or global_batch_size=15 (another run)"
    with pytest.raises(UsageError) as caught:
        check_divides(1, 2)
    assert caught.value.hint == "use 1 process, or global_batch_size=2 (another run)"


def test_the_place_of_a_process_is_read_from_its_environment() -> None:
    assert read_rank_info({}) == RankInfo(0, 1, 0, 1)
    whole = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert read_rank_info(whole) == RankInfo(3, 4, 1, 2)
    for wrong in ({"RANK": "0"}, {"RANK": "x", "WORLD_SIZE": "2"}, {"RANK": "2", "WORLD_SIZE": "2"}):
        with pytest.raises(UsageError):
            read_rank_info(wrong)


#: Code of a process -> what the launcher returns and says. Rank 1 alone fails, and rank 0 would go on for ever.
ENDS = {
    "import os, time\nif os.environ['RANK'] == '0': time.sleep(60)\nraise SystemExit(3)": (3, ""),
    "import os, time\nif os.environ['RANK'] == '0': time.sleep(60)\nos.kill(os.getpid(), 9)": (1, "killed by SIGKILL"),
    "import os\nraise SystemExit(76 if os.environ['RANK'] == '0' else 4)": (4, ""),
    "raise SystemExit(75)": (75, ""),
    "pass": (0, ""),
}


@pytest.mark.parametrize("code", ENDS)
def test_one_process_that_fails_ends_all_of_them(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm_cli.training.distributed.launcher._GRACE_SECONDS", 0.2)
    said: list[str] = []
    handler = signal.getsignal(signal.SIGTERM)
    status, part = ENDS[code]
    assert launch([sys.executable, "-c", code], 2, said.append) == status
    assert part in " ".join(said)
    assert len(said) == (2 if part else 0)
    assert signal.getsignal(signal.SIGTERM) is handler
