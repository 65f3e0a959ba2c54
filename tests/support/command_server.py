"""A process with torch and `trm_cli` loaded that runs `trm` in a fork of itself: a process of its own, ready at once.

Reads one JSON document a line, {"words", "cwd", "env", "umask", "files"}, and answers each with the exit code (-N:
killed by signal N). No package that reads the environment is loaded beforehand; of ours, `TRM_KERNELS` alone is read.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import runpy
import signal
import sys

#: A command that takes longer hangs, and is ended by SIGALRM.
MOST_SECONDS = 300


def run(words: list[str], cwd: str, env: dict[str, str], umask: int, files: list[str]) -> None:
    """In the fork: what `python -m trm_cli words` does in a process that begins."""
    for descriptor, path in enumerate(files):
        os.dup2(os.open(path, os.O_WRONLY if descriptor else os.O_RDONLY), descriptor)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    if umask >= 0:
        os.umask(umask)
    sys.argv = ["trm", *words]
    sys.path[:1] = [cwd, *env.get("PYTHONPATH", "").split(os.pathsep)]
    runpy.run_module("trm_cli", run_name="__main__", alter_sys=True)


def load() -> None:
    """Import every module of `trm_cli`, and what they import."""
    import trm_cli

    for module in pkgutil.walk_packages(trm_cli.__path__, "trm_cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def main() -> None:
    """Answer requests until standard input ends."""
    load()
    os.fsync = os.fdatasync = os.fstat  # type: ignore[assignment]  # as in conftest.py
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.alarm(MOST_SECONDS)
            # Outside of this loop, so that the interpreter ends as it always does: buffers, exit codes, tracebacks.
            return run(**json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
