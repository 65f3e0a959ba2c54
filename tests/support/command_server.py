"""A process with torch loaded that runs `trm` in a fork of itself: a process of its own, without waiting for imports.

Reads one JSON document a line, {"words", "cwd", "env", "umask", "files"}, and answers each with the exit code (-N:
killed by signal N). Of `trm_cli` itself nothing is loaded beforehand, and no package that reads the environment.
"""

from __future__ import annotations

import json
import os
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


def main() -> None:
    """Answer requests until standard input ends."""
    import numba  # noqa: F401
    import pydantic  # noqa: F401
    import rich.live  # noqa: F401
    import torch  # noqa: F401
    import typer  # noqa: F401

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
