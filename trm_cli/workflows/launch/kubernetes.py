"""A JobSet for Kubernetes: a pod on each machine, all started again together when one of them ends."""

from __future__ import annotations

from typing import Any

from trm_cli.workflows.launch.job import GRACE_SECONDS, PORT, Job, dns_name

_RESTARTS = 1000
_WORKERS = "train"
_WORK = "/work"


def job_set(job: Job, *, image: str, claim: str) -> dict[str, Any]:
    """The JobSet of a job. claim: the PersistentVolumeClaim that holds data and runs, which all pods see."""
    name = dns_name(job.name)
    head = f"{name}-{_WORKERS}-0-0.{name}"
    container: dict[str, Any] = {
        "name": "trm",
        "image": image,
        # The shell gives its place to the command, which then receives the signal to end.
        "command": ["/bin/sh", "-c", f"exec {job.command(f'{head}:{PORT}', name)}"],
        "workingDir": _WORK,
        "volumeMounts": [{"name": "work", "mountPath": _WORK}, {"name": "memory", "mountPath": "/dev/shm"}],
    }
    if job.gpus:
        container["resources"] = {"limits": {"nvidia.com/gpu": job.gpus}}
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [container],
        "volumes": [
            {"name": "work", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}},  # what the processes of a machine share
        ],
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name},
        "spec": {
            # A run that saved because its pod had to go ends with 75: it is started again, and continues.
            "failurePolicy": {"maxRestarts": _RESTARTS},
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
            "replicatedJobs": [
                {
                    "name": _WORKERS,
                    "replicas": 1,
                    "template": {
                        "spec": {
                            "parallelism": job.nodes,
                            "completions": job.nodes,
                            "completionMode": "Indexed",
                            "backoffLimit": 0,
                            "template": {"spec": pod},
                        }
                    },
                }
            ],
        },
    }
