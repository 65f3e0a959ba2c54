"""Write a trained model as a folder: weights, facts, plan, what was measured, and the card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.errors import writing
from trm_cli.training.run_files import CARD, FACTS, MEASURED, PLAN, WEIGHTS, is_published
from trm_cli.workflows.publish.facts import ModelFacts, data_sources, measured
from trm_cli.workflows.solve.examples import example_puzzles

if TYPE_CHECKING:
    from trm_cli.training.run.sealed_config import Sealed

#: Every file of a published model.
FILES = (WEIGHTS, FACTS, PLAN, MEASURED, CARD)


@dataclass(frozen=True)
class Published:
    """A folder that was written, and what it says."""

    folder: Path
    facts: ModelFacts


def publish(
    run: str | None,
    folder: Path,
    name: str,
    write_card: Callable[[ModelFacts], str],
    *,
    licence: str = "",
    raw: bool = False,
) -> Published:
    """Write the best (else the newest) checkpoint of a run, or the named one, as a published model.

    name: how it will be called, "hf:OWNER/NAME". write_card: makes the text of the card. raw: publish the raw weights
    where the run has averaged ones. The weights are written last: a folder with them has everything. Raises TrmError.
    """
    from trm_cli.data.files.durable import write_atomically
    from trm_cli.training.run.find_run import find_checkpoint
    from trm_cli.training.run.sealed_config import load_sealed
    from trm_cli.training.transfer.exporting import weights_file

    state, sealed = load_sealed(find_checkpoint(run))
    data, weights = weights_file(state, sealed, averaged=False if raw else None)
    facts = _facts(state, sealed, data, weights, name, licence)
    with writing(folder, instead="another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        documents: dict[str, Any] = {FACTS: facts.to_json(), MEASURED: list(facts.evaluations)}
        if facts.plan is not None:
            documents[PLAN] = facts.plan.to_json()
        for file, document in documents.items():
            write_atomically(folder / file, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
        write_atomically(folder / CARD, write_card(facts).encode())
        write_atomically(folder / WEIGHTS, data)
    return Published(folder, facts)


def _facts(state: dict[str, Any], sealed: Sealed, data: bytes, weights: str, name: str, licence: str) -> ModelFacts:
    import hashlib

    import torch

    from trm_cli.training.run.sealed_config import stored_plan
    from trm_cli.version import __version__

    run, config = sealed.checkpoint.parent, sealed.config
    plan = stored_plan(run)
    return ModelFacts(
        name=name,
        config=config,
        plan=plan if is_published(run) else sealed.plan(plan),
        step=sealed.step,
        weights=weights,
        parameters=sum(tensor.numel() for tensor in state["model"].values()),
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        metadata=sealed.metadata,
        fingerprint=sealed.fingerprint,
        data=data_sources(config),
        evaluations=measured(run, sealed, weights),
        licence=licence,
        examples=example_puzzles(config, sealed.metadata, run),
        trm=str(sealed.summary.get("trm", __version__)),
        torch=str(sealed.summary.get("torch", torch.__version__)),
    )
