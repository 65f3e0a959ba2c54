"""A batch script for SLURM: it saves before its time is over or when it is pre-empted, and queues itself again."""

from __future__ import annotations

import re
from pathlib import Path

from trm_cli.errors import UsageError
from trm_cli.shell import quote
from trm_cli.workflows.launch.job import AGAIN, GRACE_SECONDS, PORT, Job

#: Time limits that `sbatch --time` documents: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS.
_TIME = re.compile(r"[0-9]{1,7}(:[0-5]?[0-9]){0,2}|[0-9]{1,4}-[0-9]{1,2}(:[0-5]?[0-9]){0,2}")

_SCRIPT = """\
#!/bin/bash
{options}
{head}
srun {command} &
step=$!

# USR1 comes {grace} seconds before the end, TERM with a pre-emption. srun would
# kill what it started, so the processes are told directly; they save and end,
# and the job goes back into the queue, where the same command continues.
stop() {{
    stopped=yes
    scancel --signal=TERM "$SLURM_JOB_ID"
}}
trap stop USR1 TERM

# A signal ends `wait` early: it is asked again until the run has ended.
while kill -0 $step 2>/dev/null; do wait $step; done
wait $step
code=$?

if [ $code -ne 0 ] && [ -n "$stopped" ] || [ $code -eq {again} ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
"""


def batch_script(job: Job, *, time: str | None = None, partition: str | None = None) -> str:
    """The script of a job, for `sbatch`. Raises UsageError for a time that it would not take."""
    if time is not None and not _TIME.fullmatch(time):
        raise UsageError(
            f"--time must be a time limit of SLURM, found {time!r}",
            hint="--time 04:00:00 is four hours, --time 2-00:00:00 two days, --time 90 as many minutes",
        )
    log = "%A_%a" if job.tasks else "%j"
    options = {
        "job-name": job.name,
        "nodes": job.nodes,
        "ntasks-per-node": 1,
        "gpus-per-node": job.gpus or None,
        "time": time,
        "partition": partition,
        "array": _array(job),
        "signal": f"B:USR1@{GRACE_SECONDS}",
        "requeue": "",
        "open-mode": "append",
        "chdir": quote(Path.cwd()),
        "output": quote(job.folder.resolve() / f"slurm-{log}.out"),
    }
    lines = [
        f"#SBATCH --{name}{f'={value}' if value != '' else ''}" for name, value in options.items() if value is not None
    ]
    head = 'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)' if job.nodes > 1 else ""
    command = job.command(f"$head:{PORT}", "$SLURM_JOB_ID", number="$SLURM_ARRAY_TASK_ID")
    return _SCRIPT.format(
        options="\n".join(lines), head=f"\n{head}" if head else "", command=command, grace=GRACE_SECONDS, again=AGAIN
    )


def _array(job: Job) -> str | None:
    """Numbers of tasks as sbatch takes them: 0-5, or 0,1,7, and how many at once."""
    if not job.tasks:
        return None
    first, last = job.tasks[0], job.tasks[-1]
    dense = list(job.tasks) == list(range(first, last + 1)) and last > first
    numbers = f"{first}-{last}" if dense else ",".join(map(str, job.tasks))
    return numbers if job.at_once is None else f"{numbers}%{job.at_once}"
