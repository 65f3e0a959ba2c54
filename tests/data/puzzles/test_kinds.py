"""The table of puzzle kinds: everything that it names is there, and an unknown kind is no mistake."""

from __future__ import annotations

from importlib import import_module

import pytest

from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.puzzles.kinds import KINDS, PuzzleKind, kind_of


def metadata(kind: str | None, vocab_size: int = 7, seq_len: int = 10) -> DatasetMetadata:
    sizes = {"num_puzzle_identifiers": 1, "total_groups": 1, "mean_puzzle_examples": 1.0, "total_puzzles": 1}
    ids = {"pad_id": 0, "ignore_label_id": 0, "blank_identifier_id": 0}
    return DatasetMetadata(**ids, **sizes, vocab_size=vocab_size, seq_len=seq_len, kind=kind)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_what_the_table_names_is_there(kind: PuzzleKind) -> None:
    assert kind_of(metadata(kind.name)) is kind
    if kind.augmentation:
        module, _, name = kind.augmentation.partition(":")
        assert callable(getattr(import_module(module), name).apply)
    if kind.drawn == "grid":
        assert len(kind.palette) == (kind.vocabulary or 0) - 2  # padding and end marks are no colours
    elif kind.palette:
        assert len(kind.palette) == kind.vocabulary == len(kind.symbols)


def test_of_an_unknown_kind_nothing_is_known() -> None:
    for unknown in (metadata("chess", vocab_size=12, seq_len=900), metadata(None)):
        kind = kind_of(unknown)
        assert kind.name not in KINDS
        assert not kind.votes
        assert kind.typed(unknown) is None
