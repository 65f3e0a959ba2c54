"""Open the datasets in `data_paths`, in either format."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from trm_cli.data.files.manifest import read_manifest, split_fingerprint
from trm_cli.data.files.metadata import read_metadata
from trm_cli.data.puzzles.dataset import PuzzleDataset, open_dataset
from trm_cli.data.stream.dataset import StreamDataset, open_stream
from trm_cli.data.stream.storage.plan import KIND
from trm_cli.data.stream.storage.waiting import Waiting
from trm_cli.errors import DatasetError

_log = logging.getLogger(__name__)


def open_data(
    paths: Sequence[str | Path], split: str, *, board_side: int | None = None, waiting: Waiting | None = None
) -> PuzzleDataset | StreamDataset:
    """Open one split of one or more datasets.

    board_side: cells along one side of the largest grid that the model takes, None for a model that reads rows of
    tokens. waiting: what to do where a stream dataset is still being built.

    Raises DatasetError where a dataset is missing, damaged, or not what the model reads.
    """
    kinds = [read_metadata(path, split).kind for path in paths]
    _log.info("opening split %s of %s (%s)", split, ", ".join(map(str, paths)), ", ".join(map(str, kinds)))
    if KIND not in kinds:
        if board_side is not None:
            raise DatasetError(
                f"{paths[0]} holds rows of tokens, and this architecture reads a stream of records",
                hint="build a stream dataset (trm build-dataset vision-unified), or choose another architecture",
            )
        return open_dataset(paths, split)
    if len(paths) > 1:
        raise DatasetError(
            "a stream dataset cannot be combined with others", hint="name all sources when it is built: --sources"
        )
    if board_side is None:
        raise DatasetError(
            f"{paths[0]} is a stream of records, and this architecture reads rows of tokens",
            hint="train it with arch=multimodal_hesc or arch=multimodal_hesc_mini, or on another dataset",
        )
    return open_stream(paths[0], split, board_side, waiting)


def data_fingerprint(paths: Sequence[str | Path], split: str) -> str:
    """The fingerprint that `open_data` would find, without opening the data. Raises DatasetError."""
    manifests = [read_manifest(path) for path in paths]
    if len(paths) == 1 and manifests[0] is not None and read_metadata(paths[0], split).kind == KIND:
        return manifests[0].fingerprint or ""
    return "+".join(split_fingerprint(path, split, manifest) for path, manifest in zip(paths, manifests, strict=True))
