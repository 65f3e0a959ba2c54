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
from trm_cli.data.text.tokenizer_file import read_tokenizer
from trm_cli.errors import DatasetError

from ..digest_set import DigestSet
from ..held_out import is_test
from ..limits import Limits
from .fields import TEXT_FIELDS
from .named_sources import HUB_PREFIX, documents_of
from .token_spool import TokenSpool

PAD, EOS, FIRST_TOKEN = 0, 1, 2
BYTES = 256
# UTF-8 has no byte above 0xf4: its tokens fit one byte each, although 258 tokens do not.
_AS_TOKENS = bytes(min(byte + FIRST_TOKEN, 255) for byte in range(BYTES))
PART_DOCUMENTS = 256
# Identical inputs would let a row be looked up instead of predicted; no text dataset has puzzle identifiers.
IDENTIFIERS = ["<blank>"]

Encoder = Callable[[str], bytes]


@dataclass
class Corpus:
    """Tokens of each split, documents one after the other, each with its end mark; they are on disk.

    A shard has read all documents, but encoded only those of its parts; a merge has encoded none. A plan has counted
    the tokens, and kept none (`spool` is None).
    """

    vocabulary: int
    typecode: str
    spool: TokenSpool | None
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
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

    def append(self, split: str, tokens: bytes) -> None:
        """Add the tokens of a document or a part."""
        self.tokens[split] += len(tokens) // array(self.typecode).itemsize
        if self.spool is not None:
            self.spool.append(split, tokens)

    def rows(self, split: str, length: int) -> int:
        """Return how many rows the split fills; the last one may be padded, nothing is cut off."""
        # A row of n inputs needs n + 1 tokens, of which the last is the first input of the next row.
        return max(0, -(-(self.tokens[split] - 1) // length))


def empty_split_hint(documents: int, sources: Sequence[str] = ()) -> str:
    """Return how to get a split that no document falls into."""
    if documents == 1 and sources and sources[0].lower().endswith((".json", ".csv", ".tsv")):
        known = ", ".join(TEXT_FIELDS)
        return f"records are documents where one of their fields is {known}; name another: --text-field NAME"
    if documents == 1:
        return "a document is never divided: name more files, or put <|endoftext|> between the parts of this one"
    return "give more documents, or another --test-share"


def encode_bytes(text: str) -> bytes:
    """Return the tokens of a document, one byte each, with its end mark."""
    return text.encode("utf-8").translate(_AS_TOKENS) + bytes([EOS])


def make_encoder(path: Path | None) -> tuple[Encoder, int, str]:
    """Return what turns a document into its tokens and end mark, how many tokens there are, and `array`'s typecode."""
    if path is None:
        return encode_bytes, BYTES, "B"
    tokenizer = read_tokenizer(path, error=DatasetError)
    size = tokenizer.get_vocab_size()
    typecode = "B" if size + FIRST_TOKEN <= 1 << 8 else "H" if size + FIRST_TOKEN <= 1 << 16 else "i"

    def encode(text: str) -> bytes:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        return array(typecode, [*(token + FIRST_TOKEN for token in ids), EOS]).tobytes()

    return encode, size, typecode


def read_corpus(options: argparse.Namespace) -> Corpus:
    """Read every document once and encode those of the parts that the flags ask for. Raises DatasetError.

    Which documents there are is known to every shard; only the encoding, most of the work, is shared out.
    """
    encode, vocabulary, typecode = make_encoder(options.tokenizer)
    spool = None if options.plan else TokenSpool(options.output_dir, typecode)
    corpus = Corpus(vocabulary, typecode, spool)
    total = hashlib.sha256()
    seen = DigestSet()
    last_part = -1
    countable = not any(source.startswith(HUB_PREFIX) for source in options.source)
    for document in corpus.limits.take("documents", documents_of(options), options.limit, countable=countable):
        digest = hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).digest()
        if not document.text.strip():
            corpus.empty += 1
            continue
        part = len(seen) // PART_DOCUMENTS
        if not seen.add(digest):
            corpus.repeated += 1
            continue
        total.update(digest)
        split = "test" if is_test(digest, options.seed, options.test_share) else "train"
        corpus.documents[split] += 1
        if options.merge or (options.shard and not options.shard.owns(part)):
            continue
        if spool is not None and part != last_part:
            spool.begin_part(part)
            last_part = part
        try:
            corpus.append(split, encode(document.text))
        except UnicodeEncodeError as error:
            raise DatasetError(f"{document.where}: holds half of a character (a lone surrogate)") from error
    corpus.digest = total.hexdigest()
    whole = not (options.shard or options.merge)
    for split in SPLITS:
        if not corpus.documents[split] or (whole and not corpus.rows(split, options.seq_len)):
            raise DatasetError(
                f"{', '.join(options.source)}: the {split} split would be empty "
                f"({sum(corpus.documents.values())} documents were found)",
                hint=empty_split_hint(sum(corpus.documents.values()), options.source),
            )
    return corpus
