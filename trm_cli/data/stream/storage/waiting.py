"""Define how a reader waits for data that is still being built. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class WaitCancelled(Exception):
    """The program was asked to stop while it waited; the data has no fault."""


@dataclass(frozen=True)
class Waiting:
    """How to wait for a chunk that is not there yet.

    limit: seconds without any progress of the builder after which waiting ends with an error (0: never wait). notice:
    called with a sentence at the start of a wait and about every five seconds. builder_works: asked at every look; it
    raises the error of a builder that died and WaitCancelled when the wait is no longer wanted. None: the builder's
    heartbeat decides. poll: seconds between two looks.
    """

    limit: float = 0.0
    notice: Callable[[str], None] = lambda _: None
    builder_works: Callable[[], bool] | None = None
    poll: float = 0.25
