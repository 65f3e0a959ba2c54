"""Tiny Recursive Models from Python: `import trm_cli as trm`.

    model = trm.load("checkpoints/sudoku-4x4")
    answer = model.solve("1... .... ..2. ...3")
    print(answer.solved, answer.steps)

`compose`, `plan`, `build` and `train` are what the commands of the same names do. Everything is imported when it is
first used: torch is not loaded by `import trm_cli`, nor by a plan. Errors are `TrmError` and its kinds
(`trm_cli.errors`), with the words that the command line prints.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm_cli.api.configuration import build, compose, plan
    from trm_cli.api.model import Answer, Model, load
    from trm_cli.api.training import train
    from trm_cli.errors import TrmError
    from trm_cli.version import __version__
    from trm_cli.workflows.observers import TrainingObserver

__all__ = [
    "Answer", "Model", "TrainingObserver", "TrmError", "__version__", "build", "compose", "load", "plan", "train",
]  # fmt: skip

_MODULES = {
    "configuration": ("build", "compose", "plan"),
    "model": ("Answer", "Model", "load"),
    "training": ("train",),
}
_HOMES = {name: f"trm_cli.api.{module}" for module, names in _MODULES.items() for name in names}
_HOMES |= {
    "TrmError": "trm_cli.errors",
    "TrainingObserver": "trm_cli.workflows.observers",
    "__version__": "trm_cli.version",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
