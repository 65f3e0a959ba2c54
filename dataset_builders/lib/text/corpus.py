"""Encode documents as tokens and divide them into splits, document by document. Standard library and a tokenizer.

Bytes: 0 padding, 1 end of document, byte b as b + 2; with a tokenizer file, token t as t + 2.
"""

from __future__ import annotations

import argparse
import hashlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trm_cli.data.files.metadata import SPLITS
from trm_cli.errors import DatasetError

from ..held_out import is_test
from ..limits import Limits
from .named_sources import HUB_PREFIX, documents_of

PAD, EOS, FIRST_TOKEN = 0, 1, 2
BYTES = 256
PART_DOCUMENTS = 256
# Identical inputs would let a row be looked up instead of predicted; no text dataset has puzzle identifiers.
IDENTIFIERS = ["<blank>"]

Encoder = Callable[[str], Sequence[int]]


@dataclass
class Corpus:
    """Tokens of each split, documents one after the other, each with its end mark.

    A shard has read all documents, but encoded only those of its parts; a merge has encoded none.
    """

    vocabulary: int
    # By part and split; the parts of other shards are not there.
    parts: dict[int, dict[str, array[int]]] = field(default_factory=dict)
    documents: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    repeated: int = 0
    empty: int = 0
    digest: str = ""
    limits: Limits = field(default_factory=Limits)

    @property
    def dropped(self) -> dict[str, int]:
        """Return what was left out, by kind."""
        counts = {"repeated documents": self.repeated, "empty documents": self.empty}
        return {what: count for what, count in counts.items() if count}

    @property
    def part_count(self) -> int:
        """Return how many parts the documents make."""
        return -(-sum(self.documents.values()) // PART_DOCUMENTS)

    def tokens(self, split: str) -> int:
        """Return how many tokens the split has, in the parts that are there."""
        return sum(len(part[split]) for part in self.parts.values())

    def rows(self, split: str, length: int) -> int:
        """Return how many rows the split fills; the last one may be padded, nothing is cut off."""
        # A row of n inputs needs n + 1 tokens, of which the last is the first input of the next row.
        return max(0, -(-(self.tokens(split) - 1) // length))


def make_encoder(path: Path | None) -> tuple[Encoder, int]:
    """Return what turns a text into tokens, and how many tokens there are."""
    if path is None:
        return lambda text: text.encode("utf-8"), BYTES
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise DatasetError("--tokenizer needs the tokenizers package", hint="pip install tokenizers") from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises bare Exceptions
        raise DatasetError(f"{path}: not a tokenizer file: {error}") from error
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids, tokenizer.get_vocab_size()


def read_corpus(options: argparse.Namespace) -> Corpus:
    """Read every document once and encode those of the parts that the flags ask for. Raises DatasetError.

    Which documents there are is known to every shard; only the encoding, most of the work, is shared out.
    """
    encode, vocabulary = make_encoder(options.tokenizer)
    corpus = Corpus(vocabulary)
    total = hashlib.sha256()
    seen: set[bytes] = set()
    countable = not any(source.startswith(HUB_PREFIX) for source in options.source)
    for document in corpus.limits.take("documents", documents_of(options), options.limit, countable=countable):
        digest = hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).digest()
        if not document.text.strip():
            corpus.empty += 1
            continue
        if digest in seen:
            corpus.repeated += 1
            continue
        part = len(seen) // PART_DOCUMENTS
        seen.add(digest)
        total.update(digest)
        split = "test" if is_test(digest, options.seed, options.test_share) else "train"
        corpus.documents[split] += 1
        if options.merge or (options.shard and not options.shard.owns(part)):
            continue
        tokens = corpus.parts.setdefault(part, {split: array("i") for split in SPLITS})[split]
        try:
            tokens.extend(token + FIRST_TOKEN for token in encode(document.text))
        except UnicodeEncodeError as error:
            raise DatasetError(f"{document.where}: holds half of a character (a lone surrogate)") from error
        tokens.append(EOS)
    corpus.digest = total.hexdigest()
    whole = not (options.shard or options.merge)
    for split in SPLITS:
        if not corpus.documents[split] or (whole and not corpus.rows(split, options.seq_len)):
            where = ", ".join(options.source)
            raise DatasetError(
                f"{where}: the {split} split would be empty ({sum(corpus.documents.values())} documents were found)",
                hint="give more documents, or another --test-share",
            )
    return corpus
