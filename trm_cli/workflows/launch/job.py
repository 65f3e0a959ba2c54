"""What a job file is made from: the words of `trm`, machines, and the tasks of an array."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trm_cli.shell import quote

#: Stands for the number of a task in the words of an array.
TASK = "_TASK_NUMBER_"
#: Where the processes of several machines meet.
PORT = 29500
#: What a run ends with once it has saved because it was told to end: it goes on when it is started again.
AGAIN = 75
#: Seconds that a run gets to save.
GRACE_SECONDS = 120


@dataclass(frozen=True)
class Job:
    """A command of `trm` on some machines.

    words: after `trm`, with TASK where a task of an array has its number. tasks: their numbers, empty = no array;
    at_once: so many of them, None = all. gpus: of each machine; 0 = a processor. trains: whether processes of several
    machines train together. program: what stands for `trm` on those machines: itself, or a Python with `-m trm_cli`.
    """

    name: str
    words: Sequence[str]
    nodes: int
    gpus: int
    folder: Path
    program: Sequence[str] = ("trm",)
    tasks: Sequence[int] = ()
    at_once: int | None = None
    trains: bool = True

    @property
    def processes(self) -> int:
        """On each machine."""
        return max(1, self.gpus) if self.trains else 1

    def command(self, endpoint: str, rendezvous: str = "", *, number: str = "") -> str:
        """The line of a shell that starts it on one machine.

        endpoint: where several machines meet, as a shell reads it; rendezvous: the name of their meeting. number: the
        variable with the number of a task.
        """
        words = list(self.words)
        start = [*map(quote, self.program)]
        if self.nodes > 1:
            named = [f'--rdzv-id "{rendezvous}"'] if rendezvous else []
            python = [quote(self.program[0]), "-m torch.distributed.run"] if len(self.program) > 1 else ["torchrun"]
            start = [
                *python, f"--nnodes {self.nodes}", f"--nproc-per-node {self.processes}", *named,
                f'--rdzv-backend c10d --rdzv-endpoint "{endpoint}"', f"--shutdown-timeout {GRACE_SECONDS - 20}",
                "-m trm_cli",
            ]  # fmt: skip
        elif self.processes > 1:
            words = [*words, "--nproc-per-node", str(self.processes)]
        return " ".join([*start, *(_with_number(word, number) for word in words)])


def _with_number(word: str, number: str) -> str:
    """A word as a shell reads it, with the variable where TASK stands."""
    parts = [quote(part) if part else "" for part in word.split(TASK)]
    return f'"{number}"'.join(parts)


def dns_name(text: str) -> str:
    """A name as Kubernetes takes it: lower case, digits and dashes, beginning with a letter, at most 40."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return (plain if plain[:1].isalpha() else f"trm-{plain}")[:40].strip("-")
