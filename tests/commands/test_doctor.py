"""`trm doctor` looks at everything, fails at nothing, and waits for nobody."""

from __future__ import annotations

import configparser
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.support.streams import ROOT
from trm_cli.app import create_app
from trm_cli.training.hardware.resources import Gpu
from trm_cli.workflows import doctor
from trm_cli.workflows.inspect import model_report
from trm_cli.workflows.inspect.model_report import TrainingMemory

NAMES = ["python", "torch", "cuda", "kernel", "cores", "memory", "disk", "wandb", "hub", "extras"]


def call(*words: str) -> Any:
    return CliRunner().invoke(create_app(), ["doctor", *words])


def test_it_says_what_there_is_and_what_to_do() -> None:
    done = call("--json")
    assert done.exit_code == 0, done.exception
    found = json.loads(done.stdout)
    assert [finding["name"] for finding in found["findings"]] == NAMES
    by_name = {finding["name"]: finding for finding in found["findings"]}
    assert by_name["torch"]["found"].startswith(torch.__version__)
    assert by_name["hub"]["found"] == "disabled by HF_HUB_OFFLINE"  # as all tests run
    assert found["advice"]["model"] in ("sudoku-4x4", "vision-unified")
    screen = call()
    assert all(name in screen.stdout for name in NAMES)
    assert f"trm train {found['advice']['model']}" in screen.stdout
    assert max(map(len, screen.stdout.splitlines())) <= 100


def test_every_extra_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = {name: value for name, value in setup["options.extras_require"].items() if name != "dev"}
    assert set(doctor.EXTRAS) == {re.split("[<>=]", line)[0] for value in extras.values() for line in value.split()}

    def version(package: str) -> str:
        raise doctor.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(doctor.metadata, "version", version)
    missing = "matplotlib tensorboard nvidia-ml-py ray optuna onnx onnxscript onnxruntime starlette uvicorn tokenizers"
    assert doctor._extras().found == f"missing: {missing.replace(' ', ', ')}"
    assert doctor._extras().means.endswith(f"pip install {missing}")


def test_a_kernel_is_launched_where_training_would(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._kernel() == doctor.Finding("kernel", "matmul on cpu in float32", "correct")
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda left, right: left + right)
    assert not doctor._kernel().good


def test_a_check_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken() -> int:
        raise RuntimeError("driver mismatch")

    monkeypatch.setattr(doctor, "memory_bytes", broken)
    monkeypatch.setattr(doctor, "gpus", broken)
    findings = {finding.name: finding for finding in doctor.examine(tmp_path)}
    assert list(findings) == NAMES
    for name in ("memory", "cuda"):
        assert findings[name].found == "check failed: RuntimeError: driver mismatch"
        assert not findings[name].good


def test_a_hub_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "HUB_SECONDS", 0.05)
    monkeypatch.setattr(doctor, "_hub", lambda: time.sleep(5))
    findings = {finding.name: finding for finding in doctor.examine(tmp_path)}
    assert findings["hub"].found == "no answer"
    assert "local data" in findings["hub"].means


def test_the_flagship_is_advised_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    from trm_cli.training.hardware.devices import Choice

    measure, measured = model_report.training_memory, []

    def once(*arguments: Any) -> TrainingMemory:
        """The flagship is measured once for all GPUs."""
        if not measured:
            measured.append(measure(*arguments))
        return measured[0]

    monkeypatch.setattr(model_report, "training_memory", once)
    monkeypatch.setattr(doctor, "choose_device", lambda wanted: Choice("cuda", ""))
    monkeypatch.setattr(doctor, "choose_precision", lambda wanted, device: Choice("float16", ""))
    monkeypatch.setattr(doctor, "choose_compile", lambda wanted, device: Choice("off", ""))
    for memory, model, batch in (
        (15.8e9, "vision-unified", 32),
        (80e9, "vision-unified", 256),
        (3e9, "sudoku-4x4", None),
    ):
        gpu = Gpu("a GPU", (7, 5), int(memory), int(memory))
        monkeypatch.setattr(doctor, "gpus", lambda gpu=gpu: [gpu])
        advice = doctor.advise()
        assert (advice.model, advice.batch) == (model, batch)
