"""A logger may fail, and the run continues; W&B works offline without an account and never asks."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.runs import prepare, records, train
from trm_cli.config.compose import compose
from trm_cli.training.recording.loggers import GuardedLogger
from trm_cli.training.recording.wandb_logger import WandbLogger, wandb_mode
from trm_cli.training.run_files import read_identity
from trm_cli.training.signals import StopRequest


class Broken:
    """Works `good` times."""

    def __init__(self, good: int) -> None:
        self.left = good

    def write(self, step: int, record: dict[str, Any]) -> None:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the service is gone\nwith details")

    def close(self) -> None:
        raise AssertionError("a logger that is disabled is not closed")


def test_a_failing_sink_is_told_once_and_switched_off() -> None:
    told: list[str] = []
    logger = GuardedLogger("Service", lambda: Broken(2), told.append)
    for step in range(6):
        logger.write(step, {})
    logger.close()
    assert told == ["Service failed and is disabled: RuntimeError: the service is gone"]


def test_a_sink_that_does_not_open_is_told_and_ignored() -> None:
    told: list[str] = []

    def refuse() -> Broken:
        raise OSError("no room")

    logger = GuardedLogger("Service", refuse, told.append)
    logger.write(1, {})
    assert told == ["Service failed and is disabled: OSError: no room"]


@pytest.mark.parametrize(
    ("wanted", "environment", "mode"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": "x" * 40}, "online"),
        ("auto", {"WANDB_MODE": "disabled"}, "disabled"),
        ("auto", {"WANDB_MODE": "dryrun"}, "offline"),
        ("disabled", {"WANDB_API_KEY": "x" * 40}, "disabled"),
    ],
)
def test_the_mode_is_decided_without_asking(
    wanted: str, environment: dict[str, str], mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wandb_mode(wanted) == mode


@pytest.mark.parametrize(
    ("environment", "settings", "mode"),
    [
        ({}, "", "offline"),
        ({"WANDB_BASE_URL": "https://wandb.example.org:8443/"}, "", "offline"),  # W&B takes the port for a part of it
        ({"WANDB_BASE_URL": "https://wandb.example.org:8080/"}, "", "online"),
        ({}, "[default]\nbase_url = https://wandb.example.org\n", "online"),
        ({"WANDB_BASE_URL": "https://api.wandb.ai"}, "[default]\nbase_url = https://wandb.example.org\n", "offline"),
        ({}, "no settings", "offline"),
    ],
)
def test_the_key_of_the_host_in_use_counts(
    environment: dict[str, str], settings: str, mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    for name, value in {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), **environment}.items():
        monkeypatch.setenv(name, value)
    hosts = ("wandb.example.org", "wandb.example.org:8080")
    (tmp_path / "netrc").write_text("".join(f"machine {host} login user password {'x' * 40}\n" for host in hosts))
    (tmp_path / ".config/wandb").mkdir(parents=True)
    (tmp_path / ".config/wandb/settings").write_text(settings)
    assert wandb_mode("auto") == mode


def test_its_own_variables_name_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def init(mode: str, **arguments: Any) -> Service:
        asked.append(arguments)
        return Service()

    monkeypatch.setitem(sys.modules, "wandb", Service)  # type: ignore[arg-type]
    monkeypatch.setattr(Service, "init", init)
    named = {"PROJECT": "p", "NAME": "n", "ENTITY": "e", "TAGS": "a, b", "NOTES": "why", "RUN_GROUP": "g"}
    for name in named:
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.delenv("WANDB_JOB_TYPE", raising=False)
    config = compose(None, ["arch=trm"]).config
    WandbLogger(config, "offline", "abc123", tmp_path / "run", print)
    for name, value in named.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    WandbLogger(config, "offline", "abc123", tmp_path / "run", print)
    WandbLogger(compose(None, ["arch=trm", "wandb_project=mine"]).config, "offline", "abc123", tmp_path / "run", print)
    keys = ("project", "name", "entity", "tags", "notes", "group")
    assert [[one[key] for key in keys] for one in asked] == [
        ["trm", "run", None, None, None, None],
        ["p", "n", "e", ["a", "b"], "why", "g"],
        ["mine", "n", "e", ["a", "b"], "why", "g"],
    ]


class Writer:
    """Stands in for torch.utils.tensorboard.SummaryWriter, which is an extra."""

    made: ClassVar[list[Writer]] = []

    def __init__(self, log_dir: str, purge_step: int) -> None:
        self.log_dir, self.purge_step = log_dir, purge_step
        self.scalars: list[tuple[str, float, int]] = []
        self.closed = False
        Writer.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def close(self) -> None:
        self.closed = True


def test_tensorboard_gets_every_number_once(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(Writer, "made", [])
    train(dataset, tmp_path / "run", "tensorboard=true", stop_at_step=12)
    train(dataset, tmp_path / "run", "tensorboard=true", stop_at_step=14)
    first, second = Writer.made
    assert (first.log_dir, first.purge_step, second.purge_step) == (str(tmp_path / "run/tensorboard"), 1, 13)
    assert (first.closed, second.closed) == (True, True)
    logged = {(name, step): value for name, value, step in first.scalars + second.scalars}
    for kind in ("train", "eval"):
        for record in records(tmp_path / "run", kind):
            for key, value in record.items():
                if key != "step" and isinstance(value, int | float):
                    assert logged[f"{kind}/{key}", record["step"]] == value
    assert not any(name.endswith("/step") for name, _, _ in first.scalars)


def test_without_tensorboard_one_warning_and_the_run_goes_on(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    run, recorder = prepare(dataset, tmp_path / "run", "tensorboard=true")
    with StopRequest() as stop:
        run.train(recorder, stop)
    (warning,) = recorder.notes
    assert "TensorBoard failed and is disabled" in warning
    assert "pip install 'trm[tensorboard]'" in warning
    assert run.state.step == 30


class Service:
    """Stands in for the module wandb: online runs cannot be opened."""

    step: ClassVar[int] = 0

    class errors:
        class Error(Exception):
            pass

    opened: ClassVar[list[str]] = []
    ids: ClassVar[list[tuple[str, str]]] = []
    busy: ClassVar[bool] = False

    @staticmethod
    def Settings(**settings: Any) -> dict[str, Any]:
        return settings

    @classmethod
    def init(cls, mode: str, **arguments: Any) -> Service:
        assert arguments["settings"]["init_timeout"] <= 20
        if mode == "online":
            cls.busy = True
            raise cls.errors.Error("connection refused\nand more")
        if cls.busy:
            raise cls.errors.Error("run ID is in use")
        cls.opened.append(mode)
        cls.ids.append((arguments["id"], arguments["resume"]))
        return cls()

    @classmethod
    def teardown(cls) -> None:
        cls.busy = False

    def define_metric(self, name: str, step_metric: str) -> None:
        pass

    def log(self, record: dict[str, Any], step: int | None) -> None:
        pass

    def finish(self) -> None:
        pass


def test_an_unreachable_service_is_told_once_and_the_run_is_logged_offline(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", Service)  # type: ignore[arg-type]
    monkeypatch.setattr(Service, "opened", [])
    run, recorder = prepare(dataset, tmp_path / "run", "wandb=online")
    with StopRequest() as stop:
        run.train(recorder, stop)
    assert Service.opened == ["offline"]
    assert [note for note in recorder.notes if "cannot be reached (connection refused)" in note] == recorder.notes[1:2]
    run_id = read_identity(run.directory.path)["run"]
    assert recorder.notes[2].endswith(f"wandb sync {tmp_path / 'run/wandb'}/*run-*-{run_id}")
    assert len(recorder.notes) == 3
    assert run.state.step == 30


def test_a_run_that_goes_on_is_the_same_run_at_the_service(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", Service)  # type: ignore[arg-type]
    monkeypatch.setattr(Service, "ids", [])
    for stop in (2, 4):
        run = train(dataset, tmp_path / "run", "wandb=offline", stop_at_step=stop)
    other = train(dataset, tmp_path / "other", "wandb=offline", stop_at_step=2)
    mine, its = (read_identity(one.directory.path)["run"] for one in (run, other))
    assert Service.ids == [(mine, "allow"), (mine, "allow"), (its, "allow")]
    assert mine != its


def test_a_service_that_does_not_take_the_rest_ends_with_a_line(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(self: Service) -> None:
        """As W&B does when the network is gone; without a limit it waits for it."""
        if os.environ["WANDB_FINISH_TIMEOUT_RAISES"] == "true" and float(os.environ["WANDB_FINISH_TIMEOUT"]) <= 20:
            raise TimeoutError("Timed out finishing run.")

    for name in ("WANDB_FINISH_TIMEOUT", "WANDB_FINISH_TIMEOUT_RAISES"):
        monkeypatch.setenv(name, "")  # put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "wandb", Service)  # type: ignore[arg-type]
    monkeypatch.setattr(Service, "finish", finish)
    run, recorder = prepare(dataset, tmp_path / "run", "wandb=offline")
    with StopRequest() as stop:
        assert run.train(recorder, stop, stop_at_step=2) == 0
    assert "Weights & Biases failed and is disabled: TimeoutError: the upload did not finish" in recorder.notes[-1]
    assert "wandb sync" in recorder.notes[-1]
