"""Build a text or code dataset: documents packed into rows of fixed length, every label the token after its input.

Written as one array of tokens a split, which the rows are cut from (layout "tokens"). Bytes by default: 0 padding, 1
end of document, byte b as b + 2. With a tokenizer file, token t as t + 2. Documents follow each other without a gap;
the split is made by document.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trm_cli.data.building import builder_cli
from trm_cli.data.building.build_directory import Build, open_build
from trm_cli.data.building.build_shards import add_shard_flags
from trm_cli.data.files.durable import sha256_file
from trm_cli.data.files.manifest import Manifest
from trm_cli.data.files.metadata import SPLITS, TOKENS, DatasetMetadata
from trm_cli.errors import DatasetError

from .lib.limits import say_limits
from .lib.text.corpus import FIRST_TOKEN, IDENTIFIERS, PAD, Corpus, read_corpus
from .lib.text.named_sources import HUB_PREFIX, STDLIB, STORIES, licence_of
from .lib.text.stories import GRAMMAR_VERSION

NAME = "text"
VERSION = 2


def _parser() -> argparse.ArgumentParser:
    parser = builder_cli.common_parser(
        __package__, NAME, "Build a text or code dataset.", "--output-dir datasets/my_text --source notes/ book.txt"
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


def _metadata(options: argparse.Namespace, corpus: Corpus, split: str) -> DatasetMetadata:
    rows = corpus.rows(split, options.seq_len)
    return DatasetMetadata(
        pad_id=PAD,
        ignore_label_id=PAD,
        vocab_size=corpus.vocabulary + FIRST_TOKEN,
        seq_len=options.seq_len,
        num_puzzle_identifiers=len(IDENTIFIERS),
        total_groups=rows,
        total_puzzles=rows,
        kind="text",
        extra={
            "layout": TOKENS,
            "causal": True,
            "tokens": "bytes" if options.tokenizer is None else options.tokenizer.name,
        },
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
        licence=licence_of(options.source),
        planned=corpus.limits.planned(),
    )


def _write(options: argparse.Namespace, corpus: Corpus, work: Build) -> None:
    from .lib.text.writing import join_parts, store_parts, write_dataset

    spool = corpus.spool
    assert spool is not None  # only a plan has none
    if work.shard is not None:
        store_parts(work, corpus, spool)
        work.end_shard()
        return
    if work.merge:
        join_parts(work, corpus)
    write_dataset(work, corpus, spool, {split: _metadata(options, corpus, split) for split in SPLITS})
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
        described = {split: _metadata(options, corpus, split) for split in SPLITS}
        builder_cli.print_plan({**builder_cli.plan_document(described), **corpus.limits.planned()})
        return
    manifest = _manifest(options, corpus)
    say_limits(manifest)
    with open_build(
        options.output_dir, manifest, rebuild=options.rebuild, shard=options.shard, merge=options.merge
    ) as work:
        if not work.complete:
            _write(options, corpus, work)


def main(argv: list[str] | None = None) -> int:
    """Run the builder."""
    return builder_cli.run_builder(_parser(), _build, argv)


if __name__ == "__main__":
    sys.exit(main())
