"""A managed job for SkyPilot: on clouds and clusters, on instances that may be taken away."""

from __future__ import annotations

from typing import Any

from trm_cli.paths import is_file
from trm_cli.version import __version__
from trm_cli.workflows.launch.job import AGAIN, PORT, Job

_CHECKPOINTS = "/checkpoints"
_RESTARTS = 3
_HEAD = 'head=$(echo "$SKYPILOT_NODE_IPS" | head -n 1)'


def managed_job(job: Job, *, accelerator: str, bucket: str | None, spot: bool) -> dict[str, Any]:
    """The task of `sky jobs launch`. bucket: keeps the runs, so that a job which is recovered finds its checkpoint."""
    command = job.command(f"$head:{PORT}")
    run = f"cd {_CHECKPOINTS}\n{command}" if bucket else command
    resources: dict[str, Any] = {
        "use_spot": spot,
        "job_recovery": {"max_restarts_on_errors": _RESTARTS, "recover_on_exit_codes": [AGAIN]},
    }
    if job.gpus:
        resources = {"accelerators": f"{accelerator}:{job.gpus}", **resources}
    task: dict[str, Any] = {
        "name": job.name,
        "num_nodes": job.nodes,
        "resources": resources,
        "envs": {"TRM_NO_LOCK": "1"},  # a mounted bucket has no locks, and one job alone writes there
    }
    if bucket:
        task["file_mounts"] = {_CHECKPOINTS: {"name": bucket, "mode": "MOUNT_CACHED"}}
    clone = is_file("setup.py")
    if clone:
        task["workdir"] = "."
    task["setup"] = f"pip install {'~/sky_workdir' if clone else f'trm=={__version__}'}\n"
    task["run"] = f"{_HEAD}\n{run}\n" if job.nodes > 1 else f"{run}\n"
    return task
