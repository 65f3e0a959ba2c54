"""The command line of the stream builder, and which of its flags decide what a dataset holds."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from trm_cli.data.building import builder_cli
from trm_cli.data.building.build_shards import add_shard_flags
from trm_cli.data.files.json_file import read_json
from trm_cli.data.files.metadata import parse_metadata
from trm_cli.data.stream.shape import (
    LARGEST_PICTURE,
    LARGEST_WINDOW,
    MOST_PAIRS,
    SMALLEST_PICTURE,
    StreamShape,
    stream_shape,
)
from trm_cli.data.stream.vocabulary import BOARD_SIDE, TEXT_WINDOW
from trm_cli.errors import DatasetError

from .settings import HELP, HUB_REPOSITORY

# The flags that decide the content. Where the content comes from is in the manifest's source.
_CONTENT = (
    "sources",
    "augment",
    "augmentations",
    "limit",
    "limits",
    "weights",
    "test_share",
    "subsets",
    "text_window",
    "demonstrations",
    "pictures",
    "picture_channels",
    "picture_side",
    "batch_records",
    "offline_fallback",
    "tinystories_path",
    "hub_dataset",
    "text_field",
)


def make_parser(package: str | None, name: str) -> argparse.ArgumentParser:
    """The command line of the builder of this package and name."""
    parser = builder_cli.common_parser(
        package,
        name,
        "Build a stream dataset of puzzles, text and pictures.",
        "--output-dir D --sources kaggle/combined stories",
    )
    add = parser.add_argument
    add("--sources", nargs="+", default=["kaggle/combined", "tinystories"], metavar="S", help=HELP)
    add("--augment", action="store_true", help="puzzles in other colours, orientations and places while training")
    add("--augmentations", type=builder_cli.positive, default=32, help="identifiers per puzzle with --augment")
    add("--limits", nargs="*", default=[], metavar="S=N", help="at most N tasks per subset, documents or files of S")
    add("--weights", nargs="*", default=[], metavar="S=W", help="how often an epoch holds each record of S (default 1)")
    add("--test-share", type=_share, default=0.02, help="share of documents and pictures held out")
    add(
        "--subsets",
        nargs="+",
        default=[],
        metavar="NAME",
        help="subsets of the ARC sources (default: those of ARC-AGI-1)",
    )
    add("--allow-overlap", action="store_true", help="train on test pairs of ARC that another task holds")
    add(
        "--text-window",
        type=_between(8, LARGEST_WINDOW),
        default=TEXT_WINDOW,
        help="tokens of a text that are read at once",
    )
    add(
        "--demonstrations",
        type=_between(0, MOST_PAIRS),
        default=0,
        help="other pairs of its task that each puzzle comes with, at most",
    )
    add(
        "--like",
        type=Path,
        metavar="FILE",
        help="dataset.json of a split: grids on its board, beside its texts and pictures, of which there are none",
    )
    add(
        "--pictures",
        metavar="builtin|PATH",
        help="labelled pictures: generated ones, or a folder with one folder a class",
    )
    add("--picture-channels", type=int, choices=[1, 3], default=3, help="1: grey, 3: colour")
    add(
        "--picture-side",
        type=_between(SMALLEST_PICTURE, LARGEST_PICTURE),
        default=32,
        help="pixels of the stored square pictures",
    )
    add("--batch-records", type=builder_cli.positive, help="records per part file, 100 of which are a chunk")
    add("--offline-fallback", choices=["sample"], help="when the hub is out of reach, use the built-in sample stories")
    add("--tinystories-path", help="a file, a folder or an address instead of the hub")
    add("--hub-dataset", default=HUB_REPOSITORY, help="what `tinystories` means on the hub")
    add("--text-field", help="the field of JSON lines, parquet and hub records that holds the text")
    add_shard_flags(parser)
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, found {text}")
    return value


def _between(least: int, most: int) -> Callable[[str], int]:
    return lambda text: builder_cli.whole_number(text, least, most)


def content_flags(options: argparse.Namespace) -> dict[str, object]:
    """The flags that decide what the dataset holds, as its manifest keeps them."""
    values = {name: getattr(options, name) for name in _CONTENT}
    if options.allow_overlap:  # named where it is set: datasets of before know no such flag
        values["allow_overlap"] = True
    if (like := like_of(options.like)) is not None:
        values["like"] = like.to_extra([like.side])
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def like_of(file: Path | None) -> StreamShape | None:
    """The shape of the batches of another dataset. Raises DatasetError."""
    if file is None:
        return None
    document = read_json(file)
    if not isinstance(document, dict):
        raise DatasetError(f"{file} must hold a JSON object")
    return stream_shape(parse_metadata(document, str(file)), BOARD_SIDE, str(file))
