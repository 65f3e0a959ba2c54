"""Running `trm`: in a process of its own, or in this one."""

from __future__ import annotations

import atexit
import io
import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.support.command_server import RUNS
from tests.support.streams import environment
from trm_cli.app import main

SERVER = Path(__file__).with_name("command_server.py")


@cache
def _server() -> subprocess.Popen[str]:
    """The process of this test process that has torch loaded; it ends when its standard input does."""
    line = [sys.executable, str(SERVER)]
    server = subprocess.Popen(line, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)
    return server


@cache
def _files() -> Iterator[list[Path]]:
    """Files for the streams of one process after the other, in a folder that is deleted at the end."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return ([Path(folder, f"{number}.{name}") for name in ("in", "out", "err")] for number in itertools.count())


def _ask(**request: Any) -> int:
    server = _server()
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


class Process:
    """`python words` in a process of its own, forked from one that has torch loaded; used like a Popen.

    env: all of its environment (default: that of this process), extra: variables beside it. Output goes to files.
    """

    def __init__(
        self,
        *words: object,
        cwd: Path | None = None,
        umask: int = -1,
        text: str = "",
        env: dict[str, str] | None = None,
        **extra: str,
    ) -> None:
        self.args = [str(word) for word in words]
        self.returncode: int | None = None
        self._files = next(_files())
        for path, content in zip(self._files, (text, "", ""), strict=True):
            path.write_text(content)
        self.pid = _ask(
            words=self.args,
            cwd=str(cwd or Path.cwd()),
            umask=umask,
            files=[str(path) for path in self._files],
            env=(environment() if env is None else env) | extra,
        )

    def poll(self, flags: int = os.WNOHANG) -> int | None:
        """The exit code, -N for signal N; None while it runs."""
        if self.returncode is None:
            answer = _ask(wait=self.pid, flags=flags)
            self.returncode = None if answer == RUNS else answer
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended. Raises TimeoutExpired after so many seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll(0 if end is None else os.WNOHANG)) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(0.005)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has written to standard output and to standard error, when it has ended."""
        self.wait(timeout)
        return self.output(), self.errors()

    def output(self) -> str:
        """What it has written to standard output so far."""
        return self._files[1].read_text()

    def errors(self) -> str:
        """What it has written to standard error so far."""
        return self._files[2].read_text()

    def send_signal(self, number: int) -> None:
        """Send a signal to a process that runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()


def python(*words: object, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run `python words` to its end, as Process does."""
    process = Process(*words, **how)
    output, errors = process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def trm(*words: object, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run `trm words` to its end, as Process does."""
    return python("-m", "trm_cli", *words, **how)


@contextmanager
def _undone() -> Iterator[None]:
    """Undo at the end what options of the program set for a whole process."""
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ))
        for name in ("trm_cli", "dataset_builders"):
            logger = logging.getLogger(name)
            stack.enter_context(patch.object(logger, "handlers", logger.handlers))
            stack.callback(logger.setLevel, logger.level)  # which forgets what its children have asked
        yield


def trm_here(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Like `trm`, without waiting for the imports of another process; for what only reads."""
    before, output, errors, code = Path.cwd(), io.StringIO(), io.StringIO(), 0
    os.chdir(cwd)
    try:
        with _undone(), redirect_stdout(output), redirect_stderr(errors), patch.object(sys, "argv", ["trm", *words]):
            main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())
