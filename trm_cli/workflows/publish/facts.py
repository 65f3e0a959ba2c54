"""What there is to say about a trained model: how it was trained, on what, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.errors import CheckpointError, TrmError
from trm_cli.training.run_files import MEASURED, is_published

if TYPE_CHECKING:
    from trm_cli.config.schema import RunConfig
    from trm_cli.data.files.metadata import DatasetMetadata
    from trm_cli.schedule.plan import TrainingPlan
    from trm_cli.training.run.sealed_config import Sealed

#: What an evaluation says of files on this machine, or repeats of the dataset.
_NOT_PUBLISHED = ("run", "file", "paths", "samples", "dataset_metadata", "key", "seconds")


@dataclass(frozen=True)
class DataSource:
    """How one dataset was made. A dataset that is no longer there says nothing but its path."""

    path: str
    builder: str = ""
    licence: str = ""
    source: Mapping[str, object] | None = None
    flags: Mapping[str, object] | None = None


@dataclass(frozen=True)
class ModelFacts:
    """Everything that a model card is written from.

    name: how the model is called where it is published, "hf:OWNER/NAME". weights: "ema" or "raw". evaluations: the
    documents of `trm evaluate` for exactly these weights, the most complete one first. licence: of the weights, as
    their publisher states it, or "". examples: a few puzzles in one line each.
    """

    name: str
    config: RunConfig
    plan: TrainingPlan | None
    step: int
    weights: str
    parameters: int
    sha256: str
    bytes: int
    metadata: DatasetMetadata
    fingerprint: str
    data: Sequence[DataSource]
    evaluations: Sequence[Mapping[str, Any]]
    licence: str
    examples: Sequence[str]
    trm: str
    torch: str

    def to_json(self) -> dict[str, Any]:
        """The document `config.json` of a published model."""
        return {
            "format": 1,
            "library_name": "trm",
            "model": self.config.model,
            "architecture": self.config.arch.name,
            "parameters": self.parameters,
            "step": self.step,
            "weights": self.weights,
            "sha256": self.sha256,
            "config": self.config.model_dump(mode="json"),
            "dataset": {
                "fingerprint": self.fingerprint,
                "metadata": self.metadata.to_json(),
                "sources": [
                    {"path": one.path, "builder": one.builder, "licence": one.licence, "flags": one.flags}
                    for one in self.data
                ],
            },
            "examples": list(self.examples),
            "versions": {"trm": self.trm, "torch": self.torch},
        }


def data_sources(config: RunConfig) -> list[DataSource]:
    """What the manifests of a run's datasets say, where they are still there."""
    from trm_cli.data.files.manifest import read_manifest

    found = []
    for path in config.data_paths:
        try:
            manifest = read_manifest(path)
        except TrmError:
            manifest = None
        if manifest is None:
            found.append(DataSource(path))
        else:
            found.append(DataSource(path, manifest.builder, manifest.licence, manifest.source, manifest.flags))
    return found


def measured(run: Path, sealed: Sealed, weights: str) -> list[dict[str, Any]]:
    """The stored evaluations of these weights, without what is about this machine, the most complete one first.

    A published model brings those of the run that it was made of.
    """
    from trm_cli.data.files.durable import sha256_file
    from trm_cli.data.files.json_file import read_json
    from trm_cli.workflows.scores.evaluate import stored_evaluations

    digest = sha256_file(sealed.checkpoint)
    brought = read_json(run / MEASURED, error=CheckpointError) if is_published(run) else []
    own = [
        {name: value for name, value in document.items() if name not in _NOT_PUBLISHED}
        for document, _ in stored_evaluations(run)
        if document["checkpoint"]["sha256"] == digest and document["checkpoint"]["weights"] == weights
    ]
    return [*brought, *own]
