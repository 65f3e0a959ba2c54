"""Run commands in a checkout, through a process that stays loaded, and keep its results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("serve.py")


class Tree:
    """One of the two checkouts.

    code: the checkout; root: the folder of everything that its commands write, `{root}` in their words.
    """

    def __init__(self, code: Path, root: Path) -> None:
        self.code, self.root = code.resolve(), root
        for folder in ("data", "runs", "output"):
            (root / folder).mkdir(parents=True)
        quiet = {"WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "100", "TERM": "dumb"}
        quiet |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(self.code)}
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER)],
            cwd=self.code,
            env=os.environ | quiet,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, name: str, module: str, words: list[str]) -> dict[str, Any]:
        """Run `python -m module words` here: its exit code, seconds, and what it printed.

        Raises RuntimeError when the process of this tree has ended.
        """
        out, err = (self.root / "output" / f"{name}.{stream}".replace("/", "-") for stream in ("out", "err"))
        placed = [word.replace("{root}", str(self.root)) for word in words]
        request = {"module": module, "words": placed, "out": str(out), "err": str(err)}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process of {self.code} ended with {self._process.wait()}")
        result: dict[str, Any] = json.loads(answer)
        return result | {"out": out.read_text(), "err": err.read_text()}

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
