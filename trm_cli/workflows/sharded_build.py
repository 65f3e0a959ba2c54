"""Build a dataset in parts at once, by processes of this machine or by a Ray cluster, and join them.

A part is `trm build-dataset MODEL --shard I/N`, which continues where it was stopped: an executor starts commands, and
starts one again whose machine was lost.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.addresses import local_location
from trm_cli.ending_signals import die_with_parent
from trm_cli.errors import ExitCode, TrmError, UsageError
from trm_cli.workflows.train.jobs import Job, Queue, run_jobs

if TYPE_CHECKING:
    from trm_cli.config.registry import RegistryEntry

Notify = Callable[[str], None]
#: How often Ray starts a part again whose process was lost.
_RETRIES = 5
_LAST_LINES = 5


class Executor(Enum):
    """What builds the parts."""

    LOCAL = "local"
    RAY = "ray"


def build_parts(
    words: Sequence[str], entry: RegistryEntry, executor: Executor, count: int | None, notify: Notify
) -> None:
    """Build all parts of a dataset; joining them is left to `--merge`. Raises TrmError.

    words: model and settings, as `trm build-dataset` takes them. count: of parts, None = one for each processor.
    """
    from trm_cli.training.hardware.devices import available_cores

    cluster = _cluster() if executor is Executor.RAY else None
    if count is None:
        count = available_cores() if cluster is None else max(1, int(cluster.cluster_resources().get("CPU", 1)))
    root = Path(local_location(str(entry.dataset_args["output_dir"])))
    line = [sys.executable, "-m", "trm_cli", "build-dataset", *words]
    jobs = [Job(f"part {index}/{count}", root, [*line, "--shard", f"{index}/{count}"]) for index in range(count)]
    if cluster is not None:
        _on_ray(cluster, jobs, notify)
        return
    code = run_jobs(Queue(jobs), available_cores(), lambda job: notify(f"{job.name} begins"), notify)
    if code:
        raise _Stopped(code)


class _Stopped(TrmError):
    """A part has failed or was stopped; it has said why."""

    def __init__(self, code: int) -> None:
        super().__init__("not all parts were built", hint="what was finished is kept; the same command continues")
        self.exit_code = ExitCode(code) if code in set(ExitCode) else ExitCode.FAILED


def _cluster() -> Any:
    """Ray, connected to the cluster of RAY_ADDRESS, or to one of its own on this machine. Raises UsageError."""
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--executor ray needs the package ray, which is not installed", hint="pip install 'trm[ray]'"
        ) from error
    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    return ray


def _on_ray(cluster: Any, jobs: Sequence[Job], notify: Notify) -> None:
    """One remote call a part. Raises TrmError for the first that fails."""
    part = cluster.remote(max_retries=_RETRIES)(_run)
    running = {part.remote(list(job.command), str(Path.cwd())): job for job in jobs}
    while running:
        (done,), _ = cluster.wait(list(running), num_returns=1)
        job = running.pop(done)
        try:
            code, last = cluster.get(done)
        except cluster.exceptions.RayError as error:
            raise TrmError(f"{job.name} was lost on Ray: {str(error).splitlines()[0]}") from error
        if code:
            raise TrmError(f"{job.name} failed with exit code {code}: {last}")
        notify(f"{job.name} is done; {len(running)} left")


def _run(command: list[str], folder: str) -> tuple[int, str]:
    """Run a command in a worker of Ray; it ends with the worker, so that its lock is free for the next one."""
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        check=False, preexec_fn=die_with_parent,
    )  # fmt: skip
    return done.returncode, "\n".join(done.stderr.splitlines()[-_LAST_LINES:])
