"""Define what a stream dataset needs of its sources, each a list of records whose number is known before one is made.

A record is a pure function of its source and index. Splits are decided by task, document or file, before windows are
cut and before anything is augmented. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trm_cli.data.stream.records import Record


@dataclass(frozen=True)
class Origin:
    """Where a source's content was found. `kind` is how ("package", "directory", "hub", "sample", ...).

    note: a message for the user, for instance that a fallback was used. digest: SHA-256 of the content.
    """

    name: str
    kind: str
    location: str
    licence: str
    digest: str
    note: str = ""


class RecordSource(Protocol):
    """What a builder needs of a source."""

    @property
    def origin(self) -> Origin:
        """Return where it was found."""
        ...

    @property
    def record_kind(self) -> int:
        """Return the kind of its records."""
        ...

    @property
    def dropped(self) -> Mapping[str, int]:
        """Return what was left out, by kind."""
        ...

    def count(self, split: str) -> int:
        """Return the number of records in a split."""
        ...

    def symbols(self, split: str) -> int:
        """Return how many symbols the records of a split ask for: cells of answers, bytes and end marks, labels."""
        ...

    def sides(self, split: str) -> Sequence[int]:
        """Return the longest grid side of every record of a split; nothing where none is a grid."""
        ...

    def record(self, split: str, index: int) -> Record:
        """Return a record; its `source` is 0, and `group` and `label` count within this source."""
        ...
