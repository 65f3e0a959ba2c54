"""Train on the demonstrations of the new tasks, and stop on the way to test what has been learned.

Where it stops is decided by the number of updates alone, and what is tested by the weights: a training that is killed
and continued takes the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trm_cli.errors import ExitCode
from trm_cli.workflows.adapt import directory as files

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.workflows.adapt.directory import AdaptDirectory
    from trm_cli.workflows.adapt.request import AdaptObserver, AdaptRequest

#: How often the training stops to test.
TESTS = 10


@dataclass(frozen=True)
class Learning:
    """The training of an adaptation in its directory. device: cpu, cuda, ...; time_is_up: asked after each update."""

    request: AdaptRequest
    observer: AdaptObserver
    home: AdaptDirectory
    device: str
    time_is_up: Callable[[], bool]

    def train(self, resolved: Resolved, updates: int) -> ExitCode:
        """Train up to `updates`, or continue; returns the exit code of the signal that ended it, else DONE."""
        from trm_cli.workflows.train.train import TrainRequest, run_training

        for stop_at_step in self._stops(updates):
            resting = self._resting(stop_at_step)
            request = TrainRequest(
                stop_at_step=stop_at_step, incremental=False, stop_when=self.time_is_up, resting=resting, forecast=False
            )
            result = run_training(resolved, request, self.observer)
            done = result.exit_code is ExitCode.DONE
            if done and result.step == stop_at_step and self._tested:
                self._test(result.step)
            ended = result.step >= updates or self.time_is_up() or self._all_learned(result.step)
            self.home.note(trained=done and ended, step=result.step)
            if ended or not done:
                break
        return result.exit_code

    @property
    def _tested(self) -> bool:
        return bool(self.request.leave_out or self.request.early_stop or self.observer.watches)

    def _stops(self, updates: int) -> list[int]:
        """After which updates it is tested; the last of all updates in any case."""
        step = int(self.home.read(files.PROGRESS).get("step") or 0)
        shares = range(1, TESTS + 1) if self._tested else [TESTS]
        stops = sorted({max(1, updates * share // TESTS) for share in shares})
        return [stop for stop in stops if stop > step] or stops[-1:]

    def _test(self, step: int) -> None:
        """Test what was asked for; its results are noted before the training goes on."""
        from trm_cli.workflows.adapt.answers.testing import learned_tasks, score_left_out

        progress = self.home.read(files.PROGRESS)
        if self.request.leave_out:
            right = score_left_out(self.home.path, device=self.device, observer=self.observer)
            if right.count:
                self.observer.left_out(step, right)
                self.home.note(left_out={**progress.get("left_out", {}), str(step): right.to_json()})
        if self.request.early_stop:
            learned, tasks = learned_tasks(self.home.path, device=self.device, observer=self.observer)
            self.observer.learned(step, learned, tasks)
            self.home.note(learned={**progress.get("learned", {}), str(step): learned}, tasks=tasks)
        self.observer.stopped(step, self.home.path)

    def _resting(self, stop_at_step: int) -> tuple[int, ...]:
        """The tasks that are not drawn on the way to a stop: those that were learned at the stop before it."""
        return tuple(self._learned_before(stop_at_step))

    def _learned_before(self, step: int) -> list[int]:
        noted = self.home.read(files.PROGRESS).get("learned", {})
        before = [at for at in map(int, noted) if at < step]
        return list(noted[str(max(before))]) if before else []

    def _all_learned(self, step: int) -> bool:
        tasks = self.home.read(files.PROGRESS).get("tasks")
        return tasks is not None and len(self._learned_before(step + 1)) == tasks
