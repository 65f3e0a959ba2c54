"""Running `trm`: in a process of its own, or in this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from tests.support.streams import environment
from trm_cli.app import main


def trm(*words: str, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trm_cli", *words],
        cwd=cwd,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=240,
    )


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
