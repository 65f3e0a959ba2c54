"""Run commands of the checkout in the working directory: each in a fork of this process, which has torch loaded.

Reads one JSON document a line, {"module", "words", "out", "err"}, and answers each with {"code", "seconds"}, those of
the processor. This file knows nothing of the package that it lies in: it is started by its path, with another
checkout's code to import.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from pathlib import Path


def run(module: str, words: list[str], out: str, err: str) -> int:
    """In the fork: `python -m module words`, with its output in two files; the exit code."""
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as left:
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001 - the caller compares whatever ends a command
        traceback.print_exc()
        return 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def main() -> None:
    """Answer requests until standard input ends."""
    tree = str(Path.cwd())
    sys.path[0] = tree
    # One core, before torch counts them: a second thread changes sums, and waits for whatever else the machine does.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import numba  # noqa: F401
    import PIL.Image  # noqa: F401
    import torch  # noqa: F401

    import trm_cli.app
    import trm_cli.config.compose

    if not trm_cli.app.__file__.startswith(tree + os.sep):
        sys.exit(f"{trm_cli.app.__file__} was imported in {tree}")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(run(**json.loads(line)))
        _, status, used = os.wait4(child, 0)
        answer = {"code": os.waitstatus_to_exitcode(status), "seconds": used.ru_utime + used.ru_stime}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
