"""Accept the words of the published command lines (TRM, HRM) that are called otherwise here, or say what to write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Key = tuple[str, ...]


@dataclass(frozen=True)
class PublishedKey:
    """A key of the published code.

    ours: what it is called here, None where there is no such key. form: how its value is written here. same: the values
    that mean what is done here in any case. advice: what to write instead of any other value.
    """

    ours: str | None = None
    form: Any = "{}"
    same: tuple[Any, ...] = ()
    advice: str = ""


_LOSS = "leave it out: the loss belongs to the architecture, and arch=trm has stablemax_cross_entropy"
PUBLISHED: Mapping[str, PublishedKey] = {
    "run_name": PublishedKey("checkpoint_path", "checkpoints/{}"),
    "project_name": PublishedKey("wandb_project"),
    "data_path": PublishedKey("data_paths", ["{}"]),
    "arch.forward_dtype": PublishedKey("precision"),
    "evaluators": PublishedKey(same=([], None), advice="leave it out: `trm evaluate RUN` lets the answers to ARC vote"),
    "eval_save_outputs": PublishedKey(same=([], None), advice="leave it out: `trm evaluate RUN` writes the answers"),
    "min_eval_interval": PublishedKey(same=(0, None), advice="write eval_interval=EPOCHS, which is the first as well"),
    "checkpoint_every_eval": PublishedKey(same=(True, None), advice="write checkpoint_interval=EPOCHS"),
    "arch.loss.name": PublishedKey(same=("losses@ACTLossHead",), advice=_LOSS),
    "arch.loss.loss_type": PublishedKey(same=("stablemax_cross_entropy",), advice=_LOSS),
    "arch.loss": PublishedKey(advice=_LOSS),
}


def translate(key: Key, value: Any) -> tuple[Key, Any] | str | None:
    """Return our key and value for a word of the command line, None where it may be left out, or what to write."""
    known = PUBLISHED.get(".".join(key))
    if known is None:
        return key, value
    if known.ours is not None:
        return tuple(known.ours.split(".")), _written(known.form, value)
    return None if value in known.same else known.advice


def hint_for(key: str) -> str:
    """Return what to write instead of a published key in a file; empty where it is none."""
    known = PUBLISHED.get(key)
    if known is None:
        return ""
    return known.advice or f"here it is called `{known.ours}`"


def _written(form: Any, value: Any) -> Any:
    if isinstance(form, list):
        return value if isinstance(value, list) else [value]
    return value if form == "{}" else form.format(value)
