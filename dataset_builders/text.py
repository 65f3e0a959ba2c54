"""Build a text or code dataset: documents packed into rows of fixed length, every label the token after its input.

Written in the puzzle-array layout (inputs, labels). Bytes by default: 0 padding, 1 end of document, byte b as b + 2.
With a tokenizer file, token t as t + 2. Documents follow each other without a gap; the split is made by document.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
import sysconfig
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from dataset_builders.lib import builder_cli
from dataset_builders.lib.build_shards import add_shard_flags
from dataset_builders.lib.stream.sources import SPLITS, is_test
from dataset_builders.lib.text.documents import Document, list_files, read_documents
from dataset_builders.lib.text.stories import GRAMMAR_VERSION, story
from trm_cli.data.files.durable import sha256_file
from trm_cli.data.files.manifest import Manifest
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.errors import DatasetError

NAME = "text"
VERSION = 1
PAD, EOS, FIRST_TOKEN = 0, 1, 2
BYTES = 256
PART_DOCUMENTS = 256
HUB_PREFIX = "hub:"
STORIES = "stories"
STDLIB = "stdlib"
DEFAULT_STORIES = 20_000
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

    @property
    def dropped(self) -> dict[str, int]:
        """Return what was left out, by kind."""
        counts = {"repeated documents": self.repeated, "empty documents": self.empty}
        return {what: count for what, count in counts.items() if count}

    @property
    def part_count(self) -> int:
        """Return how many parts the documents make, whoever encodes them."""
        return -(-sum(self.documents.values()) // PART_DOCUMENTS)

    def tokens(self, split: str) -> int:
        """Return how many tokens the split has, in the parts that are there."""
        return sum(len(part[split]) for part in self.parts.values())

    def rows(self, split: str, length: int) -> int:
        """Return how many rows the split fills; the last one may be padded, nothing is cut off."""
        # A row of n inputs needs n + 1 tokens, of which the last is the first input of the next row.
        return max(0, -(-(self.tokens(split) - 1) // length))


def _parser() -> argparse.ArgumentParser:
    parser = builder_cli.common_parser(
        NAME, "Build a text or code dataset.", "--output-dir datasets/my_text --source notes/ book.txt"
    )
    add = parser.add_argument
    add("--source", nargs="+", default=[STORIES], metavar="S",
        help=f"files or folders (text, code, JSON lines, parquet), {HUB_PREFIX}OWNER/NAME, "
        f"{STORIES} (generated), or {STDLIB} (the code of this Python's standard library)")  # fmt: skip
    add("--seq-len", type=builder_cli.positive, default=256, help="tokens per row")
    add("--tokenizer", type=Path, help="a tokenizer.json of the tokenizers package, instead of bytes")
    add("--text-field", help="the field of JSON lines, parquet and hub records that holds the text")
    add("--test-share", type=float, default=0.05, help="share of the documents that is held out")
    add_shard_flags(parser)
    return parser


def _documents(options: argparse.Namespace) -> Iterator[Document]:
    for source in options.source:
        if source == STORIES:
            for index in range(options.limit or DEFAULT_STORIES):
                yield Document(f"story {index}", story(options.seed, index))
        elif source == STDLIB:
            yield from read_documents(stdlib_files())
        elif source.startswith(HUB_PREFIX):
            from dataset_builders.lib.hub import find_hub_dataset
            from dataset_builders.lib.text.hub_documents import read_hub

            yield from read_hub(find_hub_dataset(source.removeprefix(HUB_PREFIX)), "train", options.text_field)
        else:
            yield from read_documents(list_files(Path(source)), options.text_field)


def stdlib_files() -> list[Path]:
    """The modules of the running Python's standard library, without tests and what others have installed.

    Raises DatasetError where they are not there as files.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    left_out = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3", "_bundled", "__pycache__"}
    found = [file for file in root.rglob("*.py") if not left_out.intersection(file.relative_to(root).parts)]
    if not found:
        raise DatasetError(f"{root}: this Python keeps no source files", hint="name a folder of code: --source FOLDER")
    return sorted(found, key=lambda file: file.relative_to(root).as_posix())


def _licence(sources: Sequence[str]) -> str:
    known = {STORIES: "MIT (generated by this project)", STDLIB: f"PSF-2.0 (Python {platform.python_version()})"}
    return "; ".join(dict.fromkeys(known.get(source, "as stated by the owner of the files") for source in sources))


def _encoder(path: Path | None) -> tuple[Encoder, int]:
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
    encode, vocabulary = _encoder(options.tokenizer)
    corpus = Corpus(vocabulary)
    total = hashlib.sha256()
    seen: set[bytes] = set()
    for document in islice(_documents(options), options.limit):
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


def _metadata(options: argparse.Namespace, corpus: Corpus, split: str) -> DatasetMetadata:
    rows = corpus.rows(split, options.seq_len)
    return DatasetMetadata(
        pad_id=PAD,
        ignore_label_id=PAD,
        blank_identifier_id=0,
        vocab_size=corpus.vocabulary + FIRST_TOKEN,
        seq_len=options.seq_len,
        num_puzzle_identifiers=len(IDENTIFIERS),
        total_groups=rows,
        mean_puzzle_examples=1.0,
        total_puzzles=rows,
        kind="text",
        extra={"causal": True, "tokens": "bytes" if options.tokenizer is None else options.tokenizer.name},
    )


def _manifest(options: argparse.Namespace, corpus: Corpus) -> Manifest:
    generated = options.source == [STORIES]
    tokenizer = None if options.tokenizer is None else sha256_file(options.tokenizer)
    return Manifest(
        builder=NAME,
        builder_version=VERSION,
        flags={
            "seq_len": options.seq_len,
            "limit": options.limit,
            "test_share": options.test_share,
            "text_field": options.text_field,
            "tokenizer": tokenizer,
        },
        seed=options.seed,
        source={
            "locations": options.source,
            "digest": corpus.digest,
            "documents": corpus.documents,
            "dropped": corpus.dropped,
            "grammar_version": GRAMMAR_VERSION if generated else None,
        },
        licence=_licence(options.source),
    )


def _write(options: argparse.Namespace, corpus: Corpus, work: builder_cli.Build) -> None:
    from dataset_builders.lib.text.writing import join_parts, store_parts, write_dataset

    if work.shard is not None:
        store_parts(work, corpus)
        work.end_shard()
        return
    if work.merge:
        join_parts(work, corpus)
    write_dataset(work, corpus, {split: _metadata(options, corpus, split) for split in SPLITS})
    lost = "".join(f", left out {count:,} {what}" for what, count in corpus.dropped.items())
    print(
        f"{options.output_dir}: {sum(corpus.documents.values()):,} documents in "
        f"{sum(corpus.rows(split, options.seq_len) for split in SPLITS):,} rows{lost}",
        file=sys.stderr,
    )


def _build(options: argparse.Namespace) -> None:
    if not 0 < options.test_share < 1:
        raise DatasetError(f"--test-share must be between 0 and 1, found {options.test_share}")
    if options.plan:
        # Counts need every document.
        options.shard, options.merge = None, False
    corpus = read_corpus(options)
    if options.plan:
        facts = {split: corpus.rows(split, options.seq_len) for split in SPLITS}
        train = _metadata(options, corpus, "train")
        builder_cli.print_plan(
            {split: builder_cli.split_facts(rows, 1.0, rows) for split, rows in facts.items()}
            | {
                "seq_len": train.seq_len,
                "vocab_size": train.vocab_size,
                "num_puzzle_identifiers": train.num_puzzle_identifiers,
            }
        )
        return
    with builder_cli.open_build(
        options.output_dir,
        _manifest(options, corpus),
        rebuild=options.rebuild,
        shard=options.shard,
        merge=options.merge,
    ) as work:
        if work.complete:
            print(f"{options.output_dir}: already complete", file=sys.stderr)
            return
        _write(options, corpus, work)


def main(argv: list[str] | None = None) -> int:
    """Run the builder."""
    return builder_cli.run_builder(_parser(), _build, argv)


if __name__ == "__main__":
    sys.exit(main())
