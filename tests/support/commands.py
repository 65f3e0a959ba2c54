"""Running `trm`: in a process of its own, or in this one."""

from __future__ import annotations

import atexit
import io
import json
import os
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from unittest.mock import patch

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


def trm(
    *words: object,
    cwd: Path | None = None,
    umask: int = -1,
    text: str = "",
    env: dict[str, str] | None = None,
    **extra: str,
) -> subprocess.CompletedProcess[str]:
    """Run `trm` to its end in a process of its own, forked from one that has torch loaded.

    env: all of its environment (default: that of this process), extra: variables beside it.
    """
    server, line = _server(), [str(word) for word in words]
    assert server.stdin is not None and server.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("in", "out", "err")]
        for path, content in zip(files, (text, "", ""), strict=True):
            path.write_text(content)
        request = {"words": line, "cwd": str(cwd or Path.cwd()), "umask": umask, "files": [str(path) for path in files]}
        server.stdin.write(json.dumps(request | {"env": (environment() if env is None else env) | extra}) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(line, code, files[1].read_text(), files[2].read_text())


def trm_here(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Like `trm`, without waiting for the imports of another process; for what only reads."""
    before, output, errors, code = Path.cwd(), io.StringIO(), io.StringIO(), 0
    os.chdir(cwd)
    try:
        with redirect_stdout(output), redirect_stderr(errors), patch.object(sys, "argv", ["trm", *words]):
            main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())
