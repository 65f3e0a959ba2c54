"""Build the vision-unified dataset: puzzles, stories and pictures as one stream of records in consolidated chunks.

Training can start at the first chunk. See docs/datasets.md for the format.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.data.building import builder_cli
from trm_cli.data.building.build_shards import BuildShard, add_shard_flags, hold, note_end, require_no_gap
from trm_cli.data.files.json_file import read_json
from trm_cli.data.files.manifest import Manifest, check_complete
from trm_cli.data.files.metadata import SPLITS, parse_metadata
from trm_cli.data.stream.shape import (
    LARGEST_PICTURE,
    LARGEST_WINDOW,
    MOST_PAIRS,
    SMALLEST_PICTURE,
    StreamShape,
    stream_shape,
)
from trm_cli.data.stream.storage.heartbeat import Heartbeat
from trm_cli.data.stream.storage.plan import FOLDER, GRID_SIDES, KIND
from trm_cli.data.stream.storage.shares import share_line
from trm_cli.data.stream.vocabulary import BOARD_SIDE, TEXT_WINDOW
from trm_cli.errors import DatasetError, UsageError

from .lib.limits import Limits, say_limits
from .lib.stream.directory import clean_up, previous_build, remove_previous
from .lib.stream.mixture import MAX_SOURCES, Mixture
from .lib.stream.resolve import resolve
from .lib.stream.settings import (
    BUILTIN,
    HELP,
    HUB_REPOSITORY,
    IMAGES_PREFIX,
    PICTURES,
    StreamSettings,
    check_names,
    parse_pairs,
)

if TYPE_CHECKING:
    from .lib.stream.build import StreamBuild

NAME = "streaming_builder"
# The flags that decide the content. Where the content comes from is in the manifest's source.
CONTENT_FLAGS = (
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


def _parser() -> argparse.ArgumentParser:
    parser = builder_cli.common_parser(
        __package__,
        NAME,
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


def _between(lowest: int, highest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"must be {lowest} to {highest}, found {text}")
        return value

    return read


def _sources(options: argparse.Namespace) -> list[str]:
    """The names of all sources, that of --pictures last."""
    if options.pictures is None:
        return list(options.sources)
    return [*options.sources, PICTURES if options.pictures == BUILTIN else IMAGES_PREFIX + options.pictures]


def _mixture(
    options: argparse.Namespace,
    settings: StreamSettings,
    cache: Path | None,
    known: Mapping[str, Mapping[str, object]],
    limits: Limits,
) -> Mixture:
    names, weights = _sources(options), parse_pairs(options.weights, float, "--weights")
    tag = "" if options.shard is None else options.shard.tag
    sources = []
    for number, name in enumerate(names):
        cached, kept = (None if cache is None else cache / f"source_{number}{end}" for end in (".jsonl", f"{tag}.text"))
        sources.append(resolve(name, settings, cached, kept, known.get(name), limits))
    mixture = Mixture(
        sources=tuple(sources),
        weights=tuple(weights.get(name, 1.0) for name in names),
        variants=options.augmentations if options.augment else 1,
        seed=options.seed,
        text_window=options.text_window,
        demonstrations=options.demonstrations,
        like=_like(options.like),
    )
    mixture.require_records()
    return mixture


def _like(file: Path | None) -> StreamShape | None:
    """The shape of the batches of another dataset. Raises DatasetError."""
    if file is None:
        return None
    document = read_json(file)
    if not isinstance(document, dict):
        raise DatasetError(f"{file} must hold a JSON object")
    return stream_shape(parse_metadata(document, str(file)), BOARD_SIDE, str(file))


def _flags(options: argparse.Namespace) -> dict[str, object]:
    values = {name: getattr(options, name) for name in CONTENT_FLAGS}
    if options.allow_overlap:  # named where it is set: datasets of before know no such flag
        values["allow_overlap"] = True
    if (like := _like(options.like)) is not None:
        values["like"] = like.to_extra([like.side])
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def _print_plan(options: argparse.Namespace, settings: StreamSettings) -> None:
    limits = Limits()
    mixture = _mixture(options, settings, None, {}, limits)
    builder_cli.print_plan(
        {
            **builder_cli.plan_document({split: mixture.metadata(split) for split in SPLITS}),
            "kind": KIND,
            GRID_SIDES: {split: mixture.grid_sides(split) for split in SPLITS},
            "kinds": {split: mixture.kinds(split) for split in SPLITS},
            "sources": mixture.describe(),
            **limits.planned(),
        }
    )


def _run(options: argparse.Namespace) -> None:
    settings = StreamSettings.from_options(options)
    # Before anything is written: what was mistyped leaves no trace.
    names = _sources(options)
    check_names(names, settings, parse_pairs(options.weights, float, "--weights"))
    if len(names) > MAX_SOURCES:
        raise UsageError(f"at most {MAX_SOURCES} sources")
    if options.plan:
        _print_plan(options, settings)
        return
    with hold(options.output_dir, options.output_dir / FOLDER, options.shard) as let_others_in:
        _build(options, settings, let_others_in)


def _build(options: argparse.Namespace, settings: StreamSettings, let_others_in: Callable[[], None]) -> None:
    """Plan, build and seal the dataset; an error is recorded in the manifest for training that waits for the data."""
    root: Path = options.output_dir
    shard: BuildShard | None = options.shard
    beat = Heartbeat(root, "" if shard is None else shard.tag)
    build: StreamBuild | None = None
    failure = ""
    try:
        mixture, manifest = _prepare(options, settings, beat)
        if mixture is None:
            clean_up(root, manifest)
            return
        let_others_in()
        # Here, not earlier: that the hub is out of reach, or that all is done, is said without waiting for torch.
        from .lib.stream.build import StreamBuild
        from .lib.stream.prepare import static_files

        build = StreamBuild(root, mixture, manifest, _reporter())
        _continue(build, options, shard, beat)
        if shard is None:
            build.seal(static_files(root))
    except DatasetError as error:
        failure = error.message
        raise
    except OSError as error:
        failure = f"cannot write to {error.filename or root}: {error.strerror or error}"
        raise DatasetError(failure, hint="what was finished is kept; the same command continues") from error
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        raise
    finally:
        # Where the disk is full these fail as well, and the first error is the one to show.
        with suppress(OSError):
            if failure and build is not None and shard is None:
                build.fail()
        with suppress(OSError):
            beat.stop(failure)
    if shard is not None:
        note_end(root / FOLDER, shard)
        print(f"{root}: shard {shard} is done; --merge joins all shards", file=sys.stderr)
        return
    clean_up(root, build.manifest)
    print(f"{root}: complete, {build.progress[1]:,} records in {len(build.chunks)} chunks", file=sys.stderr)


def _reporter() -> Callable[[int, int, str], None]:
    progress = builder_cli.Progress(0, "records")
    return lambda done, total, note: progress.report(done, note, total)


def _prepare(options: argparse.Namespace, settings: StreamSettings, beat: Heartbeat) -> tuple[Mixture | None, Manifest]:
    """Resolve the sources and write the plan, or check that the plan of the build to be continued still holds.

    Returns no mixture where the dataset is complete.
    """
    root: Path = options.output_dir
    if options.rebuild:
        remove_previous(root, NAME)
    previous = previous_build(root, NAME, _flags(options), options.seed)
    if previous is not None and previous.state == "complete":
        check_complete(root, previous)
        _notify(previous, "already complete")
        return None, previous
    beat.start()
    known = {str(source["name"]): source for source in _described(previous)} if previous is not None else {}
    limits = Limits()
    mixture = _mixture(options, settings, root / FOLDER, known, limits)
    # Before this process is forked into workers.
    beat.pause()
    from .lib.stream.prepare import make_manifest, write_plan

    manifest = make_manifest(NAME, mixture, _flags(options), mixture.batch_records(options.batch_records), limits)
    if previous is None:
        write_plan(root, mixture, manifest)
    elif previous.fingerprint != manifest.fingerprint:
        changed = [name for name, source in known.items() if source not in mixture.describe()]
        raise DatasetError(
            f"{root}: the content of {', '.join(changed) or 'the sources'} has changed since this build began",
            hint="--rebuild starts again with what is there now",
        )
    else:
        manifest = replace(previous, state="building")
    _notify(manifest, "building" if previous is None else "continuing")
    return mixture, manifest


def _continue(build: StreamBuild, options: argparse.Namespace, shard: BuildShard | None, beat: Heartbeat) -> None:
    missing = build.missing(shard)
    if options.merge:
        root: Path = options.output_dir
        require_no_gap(root, root / FOLDER, [(batch.number, batch.file) for batch in missing])
    beat.progress = lambda: build.progress
    build.run(options.workers, beat, shard)


def _described(manifest: Manifest) -> list[Mapping[str, object]]:
    found = manifest.source.get("sources", [])
    return [source for source in found if isinstance(source, dict)] if isinstance(found, list) else []


def _notify(manifest: Manifest, state: str) -> None:
    """Say what each source turned out to be, on stderr."""
    for source in _described(manifest):
        planned = source["planned"]
        assert isinstance(planned, dict)
        note = f"  NOTE: {source['note']}" if source["note"] else ""
        dropped = source["dropped"]
        lost = f", left out: {', '.join(f'{n:,} {what}' for what, n in dropped.items())}" if dropped else ""  # type: ignore[attr-defined]
        counts = f"{planned['train']:,} + {planned['test']:,} records"
        print(f"{state}: {source['name']} from {source['location']}, {counts}{lost}{note}", file=sys.stderr)
    kinds = manifest.planned.get("kinds", {})
    for split, counts in kinds.items() if isinstance(kinds, dict) else ():
        print(f"{state}: {split} split: {share_line(counts)}", file=sys.stderr)
    say_limits(manifest)


def main(argv: list[str] | None = None) -> int:
    """Run the builder."""
    return builder_cli.run_builder(_parser(), _run, argv)


if __name__ == "__main__":
    sys.exit(main())
