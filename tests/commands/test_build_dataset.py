"""`trm build-dataset`: any program as a builder, its progress, its exit codes, signals; the documented example."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.commands import trm, trm_here
from tests.support.streams import ROOT, environment
from trm_cli.data.building.builder_command import builder_command, builders_package
from trm_cli.data.building.builder_plan import plan_build
from trm_cli.data.building.builder_process import BuilderProcess, BuildProgress, parse_progress, run_build
from trm_cli.errors import DatasetError, ExitCode, TrmError, UsageError


def script(path: Path, body: str) -> str:
    path.write_text(f"#!{sys.executable}\nimport sys, os, json, time, signal\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_which_program_a_builder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    packaged = [sys.executable, "-m", f"{builders_package()}.sudoku", "--a"]
    assert builder_command("dataset_builders/sudoku.py", ["--a"]) == packaged
    assert builder_command("dataset_builders.sudoku", ["--a"]) == packaged
    monkeypatch.chdir(ROOT)
    assert builder_command("dataset_builders/sudoku.py", ["--a"]) == packaged
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("")
    assert builder_command("mine.py", []) == [sys.executable, "mine.py"]
    assert builder_command(script(tmp_path / "run", ""), ["x"]) == [str(tmp_path / "run"), "x"]
    # A file of one's own at the same place does not pass for ours, but can be named.
    Path("dataset_builders").mkdir()
    Path("dataset_builders/sudoku.py").write_text("")
    Path("dataset_builders/mine.py").write_text("")
    assert builder_command("dataset_builders/sudoku.py", ["--a"]) == packaged
    assert builder_command("./dataset_builders/sudoku.py", [])[1:] == ["dataset_builders/sudoku.py"]
    assert builder_command("dataset_builders/mine.py", [])[1:] == ["dataset_builders/mine.py"]
    Path("plain").write_text("")
    for wrong in ("plain", "nowhere/builder.py", "no_such_command"):
        with pytest.raises(UsageError, match=wrong):
            builder_command(wrong, [])


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("print('a: error: bad flag', file=sys.stderr); sys.exit(2)", UsageError, "bad flag"),
        (
            "print('note'); print('a: error: a.json:3: bad', file=sys.stderr); sys.exit(3)",
            DatasetError,
            "a.json:3: bad",
        ),
        ("print('x', file=sys.stderr); sys.exit(9)", TrmError, "exit code 9: x"),
        ("sys.exit(1)", TrmError, "it gave no reason"),
        ("os.kill(os.getpid(), signal.SIGKILL)", TrmError, "killed by signal 9"),
    ],
)
def test_exit_codes_become_errors(tmp_path: Path, body: str, error: type[TrmError], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        run_build(builder_command(script(tmp_path / "b", body), []))
    assert type(caught.value) is error


def test_progress_and_everything_else_are_told_apart(tmp_path: Path) -> None:
    body = (
        "assert os.environ['TRM_PROGRESS'] == 'json'\n"
        "print(json.dumps({'done': 1, 'total': 2, 'unit': 'rows', 'note': 'half'}))\n"
        "print('hello'); print('{not json')\n"
        "print(sys.argv[1:], file=sys.stderr)"
    )
    progress: list[BuildProgress] = []
    lines: list[str] = []
    run_build(builder_command(script(tmp_path / "b", body), ["--n", "3"]), progress.append, lines.append)
    assert progress == [BuildProgress(1, 2, "rows", "half")]
    assert sorted(lines) == ["['--n', '3']", "hello", "{not json"]
    assert parse_progress('{"done": 1}') is None


@pytest.mark.parametrize(
    "line", ['{"done": Infinity, "total": 2, "unit": "x"}', '{"a":' * 100_000, f'{{"done": {"9" * 5000}}}']
)
def test_a_line_that_no_report_can_be_is_a_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "lines").write_text(f"{line}\n")
    lines: list[str] = []
    run_build(["cat", str(tmp_path / "lines")], lambda _: None, lines.append)
    assert lines == [line]


def test_a_plan_is_one_object(tmp_path: Path) -> None:
    assert plan_build(builder_command(script(tmp_path / "a", "print(json.dumps({'train': {}}))"), [])) == {"train": {}}
    for body in ("print('no')", "print('[1]')", "pass"):
        with pytest.raises(DatasetError, match="--plan"):
            plan_build(builder_command(script(tmp_path / "b", body), []))


def test_a_builder_in_the_background_is_asked_and_stopped(tmp_path: Path) -> None:
    body = "print(json.dumps({'done': 1, 'total': 9, 'unit': 'rows'}), flush=True); time.sleep(60)"
    process = BuilderProcess(builder_command(script(tmp_path / "b", body), []))
    seen: list[BuildProgress | str] = []
    until = time.monotonic() + 30
    while not seen and time.monotonic() < until:
        seen += process.events()
        time.sleep(0.01)
    assert seen == [BuildProgress(1, 9, "rows")] and process.running
    process.stop()
    with pytest.raises(TrmError) as caught:
        process.wait()
    assert caught.value.exit_code == ExitCode.TERMINATED


MODEL = """\
title: "A test"
config: cfg_pretrain
architecture: trm
dataset_builder: {builder}
dataset_args:
  output_dir: out
  length: 7
  checkpoint: false
checkpoint_path: checkpoints/test
"""


@pytest.mark.parametrize(
    ("number", "passed_on", "code"),
    [(signal.SIGINT, signal.SIGINT, 130), (signal.SIGTERM, signal.SIGTERM, 75), (signal.SIGHUP, signal.SIGTERM, 75)],
)
def test_a_signal_reaches_the_builder_and_sets_the_exit_code(
    tmp_path: Path, number: int, passed_on: int, code: int
) -> None:
    body = (
        "def stop(n, f):\n    open('stopped', 'w').write(str(n)); sys.exit(1)\n"
        "signal.signal(signal.SIGINT, stop); signal.signal(signal.SIGTERM, stop)\n"
        "open('running', 'w').close()\n"
        # One long sleep would sleep on after a signal that came just before it.
        "for _ in range(1200):\n    time.sleep(0.05)"
    )
    (tmp_path / "m.yaml").write_text(MODEL.format(builder=script(tmp_path / "b", body)))
    process = subprocess.Popen(
        [sys.executable, "-m", "trm_cli", "build-dataset", "m.yaml"],
        cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not (tmp_path / "running").exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert (tmp_path / "stopped").read_text() == str(int(passed_on))
    assert "Traceback" not in errors


def test_the_command_line_is_printed_and_json_is_alone_on_stdout(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MODEL.format(builder=script(tmp_path / "my builder", "print('working')")))
    done = trm("build-dataset", "m.yaml", "--workers", "2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["state"] == "complete" and document["output_dir"] == "out"
    assert document["command"][1:] == ["--output-dir", "out", "--length", "7", "--workers", "2"]
    assert "my builder' --output-dir out --length 7 --workers 2" in done.stderr and "working" in done.stderr
    dry = trm("build-dataset", "m.yaml", "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0 and "Command: " in dry.stderr and "working" not in dry.stderr


def test_shards_and_merge_of_a_model(tmp_path: Path) -> None:
    text = MODEL.format(builder="dataset_builders/text.py").replace("  length: 7\n  checkpoint: false", "  limit: 600")
    (tmp_path / "m.yaml").write_text(text)
    for index in range(2):
        done = trm_here("build-dataset", "m.yaml", "--shard", f"{index}/2", "--json", cwd=tmp_path)
        assert (done.returncode, json.loads(done.stdout)["state"]) == (0, f"shard {index}/2"), done.stderr
        early = trm_here("build-dataset", "m.yaml", "--merge", cwd=tmp_path)
        assert early.returncode == (0 if index else 3)
        assert index or "part files are missing (of shard 1/2)" in " ".join(early.stderr.split())
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["state"] == "complete"
    # The example of the documents makes no parts.
    (tmp_path / "m.yaml").write_text(MODEL.format(builder="dataset_builders/template_builder.py"))
    assert trm_here("build-dataset", "m.yaml", "--shard", "0/2", cwd=tmp_path).returncode == 2


def test_vision_unified_builds_on_a_fresh_machine_without_the_hub(tmp_path: Path) -> None:
    text = (ROOT / "configs" / "models" / "vision-unified.yaml").read_text()
    (tmp_path / "small.yaml").write_text(text.replace("  augment: true", "  augment: true\n  limit: 80"))
    done = trm("build-dataset", "small.yaml", cwd=tmp_path, HF_HOME=str(tmp_path / "hf"))
    assert done.returncode == 0, done.stderr
    assert "SAMPLE stories" in done.stderr
    looked = trm_here("inspect-dataset", "datasets/vision_unified", "--show", "3", "--verify", cwd=tmp_path)
    assert looked.returncode == 0, looked.stderr
    assert "SAMPLE stories" in looked.stdout and "Apache-2.0" in looked.stdout and "are intact" in looked.stdout
    assert "\x1b" not in looked.stdout and "train 0" in looked.stdout


@pytest.mark.slow
def test_the_documented_example_works(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "custom_dataset.md").read_text()
    assert len(document.splitlines()) < 80
    model = re.search(r"```yaml\n(.*?)```", document, re.DOTALL)
    assert model is not None
    lines = [line.removeprefix("   ") for line in model[1].splitlines()]
    (tmp_path / "configs" / "models").mkdir(parents=True)
    (tmp_path / "configs" / "models" / "reversed.yaml").write_text("\n".join(lines))
    shutil.copy(ROOT / "dataset_builders" / "template_builder.py", tmp_path / "my_builder.py")
    plan = trm_here("build-dataset", "reversed", "--plan", "--json", cwd=tmp_path)
    assert plan.returncode == 0, plan.stderr
    assert json.loads(plan.stdout)["plan"]["train"]["total_groups"] == 1000
    assert trm("build-dataset", "reversed", cwd=tmp_path).returncode == 0
    looked = trm_here("inspect-dataset", "datasets/reversed", "--json", "--verify", cwd=tmp_path)
    assert looked.returncode == 0, looked.stderr
    report = json.loads(looked.stdout)
    assert report["splits"]["train"]["total_groups"] == 1000 and report["damaged"] == []
    drawn = trm_here("inspect-dataset", "reversed", "--show", "2", "--out", "sheet.png", cwd=tmp_path)
    assert drawn.returncode == 0 and (tmp_path / "sheet.png").stat().st_size > 1000


def test_inspect_says_which_file_is_damaged(small_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    shutil.copytree(small_dataset, root)
    (root / "identifiers.json").write_text("[]")
    done = trm_here("inspect-dataset", str(root), "--verify", cwd=tmp_path)
    assert done.returncode == 3 and "identifiers.json" in done.stderr
    assert trm_here("inspect-dataset", str(tmp_path / "nothing"), cwd=tmp_path).returncode == 3


def test_the_commands_import_nothing_heavy_for_help(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom trm_cli.app import create_app\napp = create_app()\n"
        "for words in (['build-dataset', '--help'], ['inspect-dataset', '--help']):\n"
        "    try: app(words)\n    except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'datasets', 'PIL'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment(), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert os.environ.get("TRM_DEBUG") is None
