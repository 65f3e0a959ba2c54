"""`trm` as one process of a run that is killed in the middle of a save: at PLACE, in process RANK, at step STEP."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from trm_cli.app import main
from trm_cli.training.checkpoint import store as checkpoint_store
from trm_cli.training.checkpoint.store import CheckpointStore


def die(*args: Any, **kwargs: Any) -> Any:
    """Be gone, without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def half_a_file(path: Path, *args: Any) -> Any:
    """A part that is cut short, under the name that it is written under."""
    path.with_name(f".{path.name}.tmp").write_bytes(b"PK half a part")
    die()


#: Place -> what ends the process there.
PLACES = {
    "part": (checkpoint_store, "save_file", half_a_file),
    "before the links": (checkpoint_store, "write_pointer", die),
}


def arm(place: str, step: int) -> None:
    """Let the save of `step` end this process."""
    begin = CheckpointStore.path
    where, name, instead = PLACES[place]

    def watched(store: CheckpointStore, asked: int) -> Path:
        if asked == step and not store.path_seen:  # type: ignore[attr-defined]
            CheckpointStore.path_seen = True  # type: ignore[attr-defined]
            setattr(where, name, instead)
        return begin(store, asked)

    CheckpointStore.path_seen = False  # type: ignore[attr-defined]
    CheckpointStore.path = watched  # type: ignore[method-assign]


if __name__ == "__main__":
    place, rank, step, *line = sys.argv[1:]
    if os.environ["RANK"] == rank:
        arm(place, int(step))
    sys.argv[1:] = line
    main()
