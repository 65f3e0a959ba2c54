"""A process with torch and `trm_cli` loaded that runs Python in forks of itself: processes of their own, ready at once.

Reads one JSON document a line and answers each with a number. {"words", "cwd", "env", "umask", "files"} starts what
`python words` would, and is answered with the process id; {"wait": id, "flags": of waitpid} with the exit code (-N:
killed by signal N), or RUNS. No package that reads the environment is loaded beforehand; of ours, `TRM_KERNELS` alone
is read. The ranks that a launcher starts are forks of it.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import runpy
import signal
import sys
import threading
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

#: A command that takes longer hangs, and is ended by SIGALRM.
MOST_SECONDS = 300
#: The answer for a process that has not ended.
RUNS = 1000


def run(words: Sequence[str]) -> None:
    """In the fork: what `python words` does in a process that begins."""
    first, *rest = words
    sys.path[:1] = [str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.modules["__main__"] = main_module = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main_module.__dict__)
    else:
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


def run_and_end(words: Sequence[str]) -> NoReturn:
    """In the fork: what `python words` does, its end included: threads, handlers, buffers, exit code.

    Only the modules are not taken apart: each object of them lies on a page that the fork would copy first, which takes
    longer than most commands.
    """
    code, interrupted = 0, False
    try:
        try:
            run(words)
        finally:
            threading._shutdown()  # type: ignore[attr-defined]
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            sys.stderr.write(f"{stop.code}\n")
    except BaseException as error:  # noqa: BLE001
        sys.excepthook(type(error), error, error.__traceback__)
        code, interrupted = 1, isinstance(error, KeyboardInterrupt)
    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if interrupted:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
    except BaseException:  # noqa: BLE001
        code = 120  # as python ends where its last words cannot be written
    finally:
        os._exit(code & 0xFF)


class Rank:
    """A process that a launcher starts, with the methods of Popen that it uses: a fork of the launcher."""

    def __init__(self, command: Sequence[str], *, env: dict[str, str], **_: Any) -> None:
        self._code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            return
        # Outside of the launcher's frames and handlers: nothing of them may run here.
        atexit._clear()
        os.setsid()
        signal.alarm(MOST_SECONDS)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(env)
        run_and_end(command[1:])

    def poll(self, flags: int = os.WNOHANG) -> int | None:
        """The exit code, -N for signal N; None while it runs."""
        if self._code is None:
            ended, status = os.waitpid(self.pid, flags)
            self._code = os.waitstatus_to_exitcode(status) if ended else None
        return self._code

    def wait(self) -> int | None:
        """The exit code, when it has ended."""
        return self.poll(0)

    def send_signal(self, number: int) -> None:
        """Send a signal to a process that runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def load() -> None:
    """Import every module of `trm_cli`, and what they import; launchers fork from here on."""

    import trm_cli
    from trm_cli.training.distributed import launcher

    for module in pkgutil.walk_packages(trm_cli.__path__, "trm_cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    launcher.subprocess = types.SimpleNamespace(Popen=Rank, DEVNULL=None)  # type: ignore[assignment, attr-defined]


def start(cwd: str, env: dict[str, str], umask: int, files: list[str]) -> None:
    """In the fork: the streams, the environment and the folder of a process that begins."""
    signal.alarm(MOST_SECONDS)
    for descriptor, path in enumerate(files):
        os.dup2(os.open(path, os.O_WRONLY if descriptor else os.O_RDONLY), descriptor)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    if umask >= 0:
        os.umask(umask)


def main() -> None:
    """Answer requests until standard input ends."""
    load()
    os.fsync = os.fdatasync = os.fstat  # type: ignore[assignment]  # as in conftest.py
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            ended, status = os.waitpid(request["wait"], request["flags"])
            answer = os.waitstatus_to_exitcode(status) if ended else RUNS
        elif not (answer := os.fork()):
            words = request.pop("words")
            start(**request)
            run_and_end(words)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
