"""Job files of `trm launch`: what they say to SLURM, SkyPilot and Kubernetes."""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import trm_here
from trm_cli.errors import UsageError
from trm_cli.workflows.launch.job import TASK, Job, dns_name
from trm_cli.workflows.launch.kubernetes import job_set
from trm_cli.workflows.launch.skypilot import managed_job
from trm_cli.workflows.launch.slurm import batch_script


def _job(**changed: Any) -> Job:
    given: dict[str, Any] = {
        "name": "arc-1", "words": ["train", "arc-1", "data_paths=[a b]"], "nodes": 1, "gpus": 0, "folder": Path("jobs"),
    }  # fmt: skip
    return Job(**{**given, **changed})


def _options(script: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _run_line(script: str) -> list[str]:
    (line,) = [line for line in script.splitlines() if line.startswith("srun ")]
    return shlex.split(line.removesuffix(" &"))


def test_a_script_saves_before_its_end_and_queues_itself_again(tmp_path: Path) -> None:
    script = batch_script(_job(), time="04:00:00")
    options = _options(script)
    assert options["signal"] == "B:USR1@120" and options["time"] == "04:00:00" and "requeue" in options
    assert options["open-mode"] == "append" and "gpus-per-node" not in options and "array" not in options
    assert _run_line(script) == ["srun", "trm", "train", "arc-1", "data_paths=[a b]"]
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize("time", ["0", "90", "90:00", "04:00:00", "100:00:00", "2-12", "2-12:30", "2-12:30:00"])
def test_time_limits_are_those_of_slurm(time: str) -> None:
    assert _options(batch_script(_job(), time=time))["time"] == time


@pytest.mark.parametrize("time", ["4hours", "-5", "", "4:", "4:75", "1:2:3:4", "2-", "1e3", "04:00:00\n", "9" * 20])
def test_other_time_limits_are_refused(time: str) -> None:
    with pytest.raises(UsageError, match="must be a time limit of SLURM, found"):
        batch_script(_job(), time=time)


def test_several_gpus_of_one_machine_are_started_by_trm_and_several_machines_by_torchrun() -> None:
    assert _run_line(batch_script(_job(gpus=8)))[-2:] == ["--nproc-per-node", "8"]
    script = batch_script(_job(nodes=2, gpus=8))
    words = _run_line(script)
    assert words[:2] == ["srun", "torchrun"] and words[-5:] == ["-m", "trm_cli", "train", "arc-1", "data_paths=[a b]"]
    after = dict(itertools.pairwise(words))
    assert after["--nnodes"] == "2" and after["--nproc-per-node"] == "8" and after["--rdzv-backend"] == "c10d"
    assert after["--rdzv-endpoint"] == "$head:29500" and "scontrol show hostnames" in script
    assert _options(script)["gpus-per-node"] == "8" and _options(script)["nodes"] == "2"


def test_an_array_has_its_number_in_words_that_are_quoted() -> None:
    words = ["train", f"checkpoint_path=a b/seed-{TASK}", f"seed={TASK}"]
    script = batch_script(_job(words=words, tasks=[0, 1, 2], at_once=2))
    assert _options(script)["array"] == "0-2%2"
    assert _options(batch_script(_job(tasks=[0, 1, 7])))["array"] == "0,1,7"
    (line,) = [line for line in script.splitlines() if line.startswith("srun ")]
    shown = f"SLURM_ARRAY_TASK_ID=7; printf '%s\\n' {line.removesuffix(' &')}"
    said = subprocess.run(["bash", "-c", shown], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["srun", "trm", "train", "checkpoint_path=a b/seed-7", "seed=7"]


def test_a_job_set_fits_the_published_schema() -> None:
    models = pytest.importorskip("kubeflow_trainer_api.models")
    made = job_set(_job(nodes=2, gpus=8), image="trm:1", claim="work")
    read = models.JobsetV1alpha2JobSet.from_dict(made)
    again = json.loads(json.dumps(read.to_dict()))
    assert _without_empty(again) == _without_empty(made), "a field that the schema does not know is lost"
    (worker,) = made["spec"]["replicatedJobs"]
    pod = worker["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"] == {"limits": {"nvidia.com/gpu": 8}}
    assert '--rdzv-endpoint "arc-1-train-0-0.arc-1:29500"' in container["command"][-1]
    assert worker["template"]["spec"]["parallelism"] == 2 and pod["terminationGracePeriodSeconds"] == 120


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_empty(inner) for key, inner in value.items() if inner is not None}
    return [_without_empty(inner) for inner in value] if isinstance(value, list) else value


#: The fields of a task and of its resources that SkyPilot's schema has and this file uses.
_TASK_FIELDS = {"name", "num_nodes", "resources", "envs", "file_mounts", "workdir", "setup", "run"}
_RESOURCES = {"accelerators", "use_spot", "job_recovery"}


def test_a_managed_job_has_the_fields_of_skypilot_and_is_recovered_after_it_has_saved() -> None:
    made = managed_job(_job(nodes=2, gpus=8), accelerator="H100", bucket="runs", spot=True)
    assert made.keys() <= _TASK_FIELDS and made["resources"].keys() <= _RESOURCES
    assert made["resources"]["accelerators"] == "H100:8" and made["num_nodes"] == 2
    assert made["resources"]["job_recovery"]["recover_on_exit_codes"] == [75]
    assert made["file_mounts"] == {"/checkpoints": {"name": "runs", "mode": "MOUNT_CACHED"}}
    assert "$SKYPILOT_NODE_IPS" in made["run"] and "cd /checkpoints" in made["run"]
    assert subprocess.run(["bash", "-n"], input=made["run"], text=True, check=False).returncode == 0
    alone = managed_job(_job(), accelerator="H100", bucket=None, spot=False)
    assert "accelerators" not in alone["resources"] and alone["run"] == "trm train arc-1 'data_paths=[a b]'\n"


@pytest.mark.slow
def test_a_managed_job_fits_the_published_schema() -> None:
    schemas = pytest.importorskip("sky.utils.schemas")
    jsonschema = pytest.importorskip("jsonschema")
    for job in (_job(), _job(nodes=2, gpus=8)):
        made = managed_job(job, accelerator="H100", bucket="runs", spot=True)
        jsonschema.validate(made, schemas.get_task_schema())
        jsonschema.validate(made["resources"], schemas.get_resources_schema())
        jsonschema.validate(made["file_mounts"]["/checkpoints"], schemas.get_storage_schema())


def test_names_fit_kubernetes() -> None:
    assert dns_name("sudoku-4x4") == "sudoku-4x4" and dns_name("4x4_Sudoku") == "trm-4x4-sudoku"
    assert len(dns_name("a" * 90)) == 40


# --- the command ---


def test_the_files_are_written_and_printed_and_nothing_is_submitted(tmp_path: Path) -> None:
    done = trm_here("launch", "kubernetes", "sudoku-4x4", "epochs=3", "--gpus", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "jobs/sudoku-4x4-kubernetes"
    job, config = (folder / "jobset.yaml").read_text(), (folder / "config.yaml").read_text()
    assert yaml.safe_load(job)["kind"] == "JobSet" and "epochs: 3" in config
    assert job in done.stdout and config in done.stdout and "kubectl apply -f" in done.stderr
    found = json.loads(trm_here("launch", "skypilot", "sudoku-4x4", "--json", cwd=tmp_path).stdout)
    assert found["submit"][:3] == ["sky", "jobs", "launch"] and yaml.safe_load(found["job"])["num_nodes"] == 1


def test_seeds_sweeps_and_shards_are_arrays(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text("model: sudoku-4x4\nsearch: {lr: [1e-3, 2e-3], arch.L_cycles: [3, 6]}\n")
    for words, array, last in (
        (["sudoku-4x4", "--seeds", "0,5"], "0,5", "checkpoint_path=checkpoints/sudoku-4x4/seed-$SLURM_ARRAY_TASK_ID"),
        (["--sweep", "two.yaml", "--at-once", "2"], "0-3%2", "$SLURM_ARRAY_TASK_ID"),
        (["sudoku-4x4", "--shards", "4"], "0-3", "$SLURM_ARRAY_TASK_ID/4"),
    ):
        found = json.loads(trm_here("launch", "slurm", *words, "--json", cwd=tmp_path).stdout)
        assert _options(found["job"])["array"] == array and _run_line(found["job"])[-1] == last


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["slurm"], "which model?"),
        (["slurm", "--sweep", "two.yaml", "--arch", "trm"], "the file names the model"),
        (["kubernetes", "sudoku-4x4", "--seeds", "2"], "kubernetes has no arrays here"),
        (["slurm", "sudoku-4x4", "--seeds", "2", "--shards", "2"], "one array at a time"),
        (["slurm", "sudoku-4x4", "--seeds", "2000"], "1 to 1,000 seeds"),
        (["slurm", "sudoku-4x4", "--shards", "4", "--nodes", "2"], "runs on one machine"),
        (["slurm", "sudoku-4x4", "seed=3", "--seeds", "2"], "leave seed= out"),
        (["slurm", "sudoku-4x4", "--time", "4hours"], "hint: --time 04:00:00 is four hours"),
        (["slurm", "sudoku-4x4", "--time", "-5"], "found '-5'"),
        (["slurm", "sudoku-4x4", "--gpus", "99999"], "128"),
        (["kubernetes", "sudoku-4x4", "--nodes", "99999999999"], "10000"),
    ],
)
def test_mistakes(tmp_path: Path, words: list[str], said: str) -> None:
    done = trm_here("launch", *words, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and not (tmp_path / "jobs").exists(), done.stderr
