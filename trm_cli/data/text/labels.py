"""Tell which labels of a dataset are text and whether each is one byte, for bits per byte."""

from __future__ import annotations

from dataclasses import dataclass

from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.stream.storage.plan import KIND as STREAM
from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, FIRST_CONTROL

BYTES = "bytes"


@dataclass(frozen=True)
class TextLabels:
    """Labels `first` to `stop` - 1 are text; the end mark and what is ignored are not. bytes: each is one byte."""

    first: int
    stop: int
    bytes: bool


def text_labels(metadata: DatasetMetadata) -> TextLabels | None:
    """Return the text labels of a dataset; None where it holds no text."""
    if metadata.kind == STREAM:
        return TextLabels(FIRST_BYTE, FIRST_CONTROL, True)
    if metadata.kind == "text":
        return TextLabels(EOS + 1, metadata.vocab_size, metadata.extra.get("tokens") == BYTES)
    return None
