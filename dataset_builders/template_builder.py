"""Template of a dataset builder, to copy: reversing a row of digits. `docs/custom_dataset.md` explains it line by line.

A builder is any program that takes --output-dir and its own flags and writes the format below. This one uses the
common parts of this package: flags, `--plan`, a lock, and a manifest that is sealed when everything is there.
"""

from __future__ import annotations

import argparse
import json
import random
import sys

from trm_cli.data.building.build_directory import open_build
from trm_cli.data.building.builder_cli import common_parser, plan_document, positive, print_plan, run_builder
from trm_cli.data.files.durable import write_atomically
from trm_cli.data.files.manifest import Manifest
from trm_cli.data.files.metadata import DatasetMetadata

NAME = "template_builder"
VERSION = 1
COUNTS = {"train": 1000, "test": 100}
PAD, FIRST_DIGIT = 0, 1


def _parser() -> argparse.ArgumentParser:
    parser = common_parser(
        __package__, NAME, "Build rows of digits and the same rows reversed.", "--output-dir datasets/reversed"
    )
    parser.add_argument("--length", type=positive, default=16, help="digits per row")
    return parser


def _metadata(options: argparse.Namespace, split: str) -> DatasetMetadata:
    rows = min(COUNTS[split], options.limit or COUNTS[split])
    return DatasetMetadata(
        pad_id=PAD,
        ignore_label_id=PAD,
        vocab_size=FIRST_DIGIT + 10,
        seq_len=options.length,
        total_groups=rows,
        total_puzzles=rows,
        kind="reversed",
    )


def _build(options: argparse.Namespace) -> None:
    described = {split: _metadata(options, split) for split in COUNTS}
    if options.plan:
        print_plan(plan_document(described))
        return
    manifest = Manifest(
        builder=NAME,
        builder_version=VERSION,
        flags={"length": options.length, "limit": options.limit},
        seed=options.seed,
        source={"kind": "generated"},
        licence="generated, no third-party data",
    )
    with open_build(options.output_dir, manifest, rebuild=options.rebuild) as work:
        if work.complete:
            return
        # Here, not at the top: --plan and --help answer without numpy.
        import numpy as np

        from trm_cli.data.files.puzzle_arrays import one_example_each, write_split

        names = ["identifiers.json"]
        write_atomically(work.root / names[0], json.dumps(["<blank>"]).encode())
        for split, metadata in described.items():
            digits = random.Random(f"{options.seed} {split}")
            rows = [[int(digits.random() * 10) for _ in range(options.length)] for _ in range(metadata.total_groups)]
            inputs = np.array(rows, dtype=np.uint8) + FIRST_DIGIT  # [N, S]
            arrays = {"inputs": inputs, "labels": inputs[:, ::-1], **one_example_each(len(inputs))}
            names += write_split(work.root, split, metadata, arrays)
        work.finish(names, {split: metadata.total_groups for split, metadata in described.items()})


def main(argv: list[str] | None = None) -> int:
    """Run the builder."""
    return run_builder(_parser(), _build, argv)


if __name__ == "__main__":
    sys.exit(main())
