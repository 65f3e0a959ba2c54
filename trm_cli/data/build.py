"""Running a dataset builder: any program that takes the flags, reports progress and writes the format."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_cli.errors import DatasetError, ExitCode, TrmError, UsageError

#: Where the builders that come with trm live.
SHIPPED = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class BuildProgress:
    """How far a builder is; `total` may be unknown."""

    done: int
    total: int | None
    unit: str
    note: str = ""


def builder_command(builder: str, flags: Sequence[str]) -> list[str]:
    """The command line of a builder.

    builder: a Python file in `dataset_builders/` (run as a module), another Python file, or any executable. A relative
    path is looked for from the working directory, then beside trm. Raises UsageError when there is none.
    """
    for folder in (Path.cwd(), SHIPPED):
        path = folder / builder
        if not path.is_file():
            continue
        if path.parent.name == "dataset_builders" and path.suffix == ".py" and folder in (Path.cwd(), SHIPPED):
            return [sys.executable, "-m", f"dataset_builders.{path.stem}", *flags]
        return [sys.executable, str(path), *flags] if path.suffix == ".py" else [str(path), *flags]
    raise UsageError(
        f"the dataset builder {builder} does not exist",
        hint="dataset_builder names a file, relative to the working directory or to where trm is installed",
    )


def shown_command(command: Sequence[str]) -> str:
    """A command line as a person would type it."""
    words = list(command)
    if words[0] == sys.executable:
        words[0] = "python"
    return shlex.join(words)


def run_builder(
    command: Sequence[str], *, progress: Callable[[BuildProgress], None], tell: Callable[[str], None]
) -> None:
    """Run a builder to its end. Raises the error that its exit status stands for.

    progress gets every JSON progress line, tell every other line of its output.
    """
    # The builder is found beside trm even where that is not the working directory.
    search = os.pathsep.join(filter(None, [str(SHIPPED), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "TRM_PROGRESS": "json", "PYTHONUNBUFFERED": "1", "PYTHONPATH": search}
    try:
        process = subprocess.Popen(
            list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be run: {error.strerror}") from error
    assert process.stdout is not None
    last = ""
    try:
        for line in process.stdout:
            text = line.rstrip("\n")
            report = _progress(text)
            if report is not None:
                progress(report)
            elif text:
                last = text
                tell(text)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    _raise_for(process.wait(), last)


def plan_of_builder(command: Sequence[str]) -> Mapping[str, Any]:
    """What a builder would build, from its `--plan`. Raises DatasetError when it cannot say."""
    search = os.pathsep.join(filter(None, [str(SHIPPED), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [*command, "--plan"], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": search}
    )
    if done.returncode == 0:
        try:
            document = json.loads(done.stdout)
        except ValueError:
            document = None
        if isinstance(document, dict):
            return document
    last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
    raise DatasetError(f"the builder cannot plan: {last}", hint="--samples-per-epoch N plans without a dataset")


def _progress(line: str) -> BuildProgress | None:
    if not line.startswith("{"):
        return None
    try:
        report = json.loads(line)
        return BuildProgress(int(report["done"]), report.get("total"), report.get("unit", ""), report.get("note", ""))
    except (ValueError, KeyError, TypeError):
        return None


def _raise_for(status: int, last: str) -> None:
    message = last.removeprefix("error: ") or "it said nothing"
    if status == ExitCode.DONE:
        return
    if status == ExitCode.USAGE:
        raise UsageError(f"the builder refused its flags: {message}", hint="correct dataset_args in the model's YAML")
    if status == ExitCode.DATASET:
        raise DatasetError(message)
    if status in (-2, ExitCode.INTERRUPTED):
        raise KeyboardInterrupt
    raise TrmError(
        f"the dataset builder ended with status {status}: {message}",
        hint="the same command continues where it stopped",
    )
