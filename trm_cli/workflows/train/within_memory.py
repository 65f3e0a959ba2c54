"""Train within the memory of the device: what does not fit, or cannot be compiled, becomes an error with advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trm_cli.errors import ExitCode, TrmError, first_line

if TYPE_CHECKING:
    from trm_cli.training.forecast.forecast import Forecast
    from trm_cli.training.memory.check import MemoryCheck
    from trm_cli.training.recording.observer import Observer
    from trm_cli.training.run.run import Run
    from trm_cli.training.signals import StopRequest


def train_within_memory(
    run: Run,
    memory: MemoryCheck,
    observer: Observer,
    stop: StopRequest,
    *,
    stop_at_step: int | None = None,
    resting: tuple[int, ...] = (),
    forecast: Forecast | None = None,
) -> ExitCode:
    """Train; out of memory becomes an error that says what would fit, and a failed compilation one that goes without.

    The first update tests the estimate: until it is done nothing on disk is newer than what the run started from, and
    every later update needs the same.
    """
    from trm_cli.training.hardware.devices import is_compile_failure
    from trm_cli.training.memory.check import is_out_of_memory

    try:
        kept = None if forecast is None else forecast.to_json()
        return run.train(observer, stop, stop_at_step=stop_at_step, resting=resting, forecast=kept)
    except RuntimeError as error:
        if is_compile_failure(error):
            raise TrmError(
                f"torch.compile failed: {first_line(error)}", hint="compile=false computes without it"
            ) from error
        if not is_out_of_memory(error):
            raise
        step = run.state.step
        evaluating = run.plan.is_eval(step) and run.state.evaluated_step != step
        raise memory.refused(error, evaluating=evaluating) from error
