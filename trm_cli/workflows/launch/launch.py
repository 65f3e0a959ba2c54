"""Make the job file of an engine with the resolved configuration beside it, and submit it. Behind `trm launch`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.data.files.durable import write_atomically
from trm_cli.errors import TrmError, UsageError, writing
from trm_cli.version import __version__
from trm_cli.workflows.launch.job import TASK, Job

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved

#: SLURM numbers the tasks of an array up to this, unless it is configured otherwise.
_MOST_TASKS = 1000
_CONFIG = "config.yaml"


class Engine(Enum):
    """What runs the job."""

    SLURM = "slurm"
    SKYPILOT = "skypilot"
    KUBERNETES = "kubernetes"


_FILES = {Engine.SLURM: "job.sh", Engine.SKYPILOT: "task.yaml", Engine.KUBERNETES: "jobset.yaml"}
_SUBMIT = {
    Engine.SLURM: ("sbatch",),
    Engine.SKYPILOT: ("sky", "jobs", "launch", "--yes"),
    Engine.KUBERNETES: ("kubectl", "apply", "-f"),
}


@dataclass(frozen=True)
class LaunchRequest:
    """Where and how a job runs.

    seeds, sweep, shards: an array of SLURM instead of one run. at_once: tasks of it. The rest belongs to one engine
    each: time, partition; accelerator, bucket, spot; image, claim. folder: of the files, None = jobs/ and the name.
    """

    engine: Engine
    nodes: int = 1
    gpus: int = 1
    seeds: str | None = None
    sweep: Path | None = None
    shards: int | None = None
    at_once: int | None = None
    time: str | None = None
    partition: str | None = None
    accelerator: str = "H100"
    bucket: str | None = None
    spot: bool = True
    image: str = f"trm:{__version__}"
    claim: str = "trm"
    folder: Path | None = None


@dataclass(frozen=True)
class Launched:
    """The files that were written, with their text, and what submits them."""

    job_file: Path
    job: str
    config_file: Path
    config: str
    submit: Sequence[str]


def write_job(resolved: Resolved, request: LaunchRequest) -> Launched:
    """Write the job file and the resolved configuration. Raises UsageError for what an engine cannot do, and TrmError
    where they cannot be written.
    """
    from trm_cli.config.dump import dump_config

    job = _job(resolved, request)
    text, config = _text(job, request), dump_config(resolved)
    job_file, config_file = job.folder / _FILES[request.engine], job.folder / _CONFIG
    with writing(job.folder, instead="another folder with --out", error_class=TrmError):
        job.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(job_file, text.encode())
        write_atomically(config_file, config.encode())
    return Launched(job_file, text, config_file, config, (*_SUBMIT[request.engine], str(job_file)))


def submit(launched: Launched) -> int:
    """Hand the job over to its engine; returns the exit status of that. Raises TrmError where it is not installed."""
    program = launched.submit[0]
    if shutil.which(program) is None:
        raise TrmError(f"{program} is not installed here", hint=f"copy {launched.job_file} to where it is")
    return subprocess.run(launched.submit, check=False).returncode


def _job(resolved: Resolved, request: LaunchRequest) -> Job:
    from trm_cli.config.dump import override, override_key

    config = resolved.config
    model = config.model if resolved.registry is None else resolved.registry.word
    several = [name for name in ("seeds", "sweep", "shards") if getattr(request, name) is not None]
    if len(several) > 1:
        raise UsageError(f"--{several[0]} and --{several[1]}: one array at a time")
    if several and request.engine is not Engine.SLURM:
        raise UsageError(
            f"--{several[0]}: {request.engine.value} has no arrays here", hint="one job for each, or `trm launch slurm`"
        )
    words, tasks = ["train", model, *map(str, resolved.overrides)], []
    if request.seeds is not None:
        from trm_cli.training.run.groups import member
        from trm_cli.workflows.train.seeds import parse_seeds, seed_runs

        tasks = parse_seeds(request.seeds)
        seed_runs(resolved, tasks)  # what it refuses is refused here
        kept = [word for word in words if override_key(word) != "checkpoint_path"]
        path = str(member(Path(config.checkpoint_path), 0)).removesuffix("0")
        words = [*kept, f"seed={TASK}", override("checkpoint_path", path) + TASK]
    elif request.sweep is not None:
        words, tasks = _sweep(request.sweep)
    elif request.shards is not None:
        words, tasks = ["build-dataset", *words[1:], "--shard", f"{TASK}/{request.shards}"], list(range(request.shards))
    if tasks and max(tasks) > _MOST_TASKS:
        raise UsageError(f"{max(tasks):,} is above the largest number of a task of an array, {_MOST_TASKS:,}")
    name = request.sweep.stem if request.sweep is not None else Path(str(model)).stem
    here = request.engine is Engine.SLURM
    return Job(
        name=name,
        words=words,
        nodes=request.nodes,
        gpus=request.gpus,
        folder=request.folder or Path("jobs") / f"{name}-{request.engine.value}",
        program=(sys.executable, "-m", "trm_cli") if here else ("trm",),
        tasks=tasks,
        at_once=request.at_once,
        trains=request.sweep is None and request.shards is None,
    )


def _sweep(file: Path) -> tuple[list[str], list[int]]:
    from trm_cli.workflows.sweep.definition import read_sweep
    from trm_cli.workflows.sweep.trials import check_trials, planned_trials

    sweep = read_sweep(file)
    if sweep.method == "optuna":
        raise UsageError("Optuna chooses its trials one after the other: no array", hint="method: random, or trm sweep")
    check_trials(sweep)
    return ["sweep", str(file), "--trial", TASK], [trial.number for trial in planned_trials(sweep)]


def _text(job: Job, request: LaunchRequest) -> str:
    if (job.tasks and not job.trains) and job.nodes > 1:
        raise UsageError("--nodes: each task of this array runs on one machine", hint="leave --nodes out")
    match request.engine:
        case Engine.SLURM:
            from trm_cli.workflows.launch.slurm import batch_script

            return batch_script(job, time=request.time, partition=request.partition)
        case Engine.SKYPILOT:
            from trm_cli.workflows.launch.skypilot import managed_job

            made = managed_job(job, accelerator=request.accelerator, bucket=request.bucket, spot=request.spot)
        case Engine.KUBERNETES:
            from trm_cli.workflows.launch.kubernetes import job_set

            made = job_set(job, image=request.image, claim=request.claim)
    return _yaml(made)


def _yaml(document: object) -> str:
    """YAML in the order of its making, with scripts as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes text of several lines as a block."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return yaml.dump(document, Dumper=Dumper, sort_keys=False, width=200)
