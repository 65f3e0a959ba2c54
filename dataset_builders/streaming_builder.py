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
from trm_cli.data.building.build_shards import BuildShard, hold, note_end, require_no_gap
from trm_cli.data.files.manifest import Manifest, check_complete
from trm_cli.data.files.metadata import SPLITS
from trm_cli.data.stream.storage.heartbeat import Heartbeat
from trm_cli.data.stream.storage.plan import FOLDER, GRID_SIDES, KIND
from trm_cli.data.stream.storage.shares import share_line
from trm_cli.errors import DatasetError, UsageError

from .lib.limits import Limits, say_limits
from .lib.stream.directory import clean_up, previous_build, remove_previous
from .lib.stream.flags import content_flags, like_of, make_parser
from .lib.stream.mixture import MAX_SOURCES, Mixture
from .lib.stream.resolve import resolve
from .lib.stream.settings import (
    BUILTIN,
    IMAGES_PREFIX,
    PICTURES,
    StreamSettings,
    check_names,
    parse_pairs,
)

if TYPE_CHECKING:
    from .lib.stream.build import StreamBuild

NAME = "streaming_builder"


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
        like=like_of(options.like),
    )
    mixture.require_records()
    return mixture


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
    previous = previous_build(root, NAME, content_flags(options), options.seed)
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

    manifest = make_manifest(
        NAME, mixture, content_flags(options), mixture.batch_records(options.batch_records), limits
    )
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
    return builder_cli.run_builder(make_parser(__package__, NAME), _run, argv)


if __name__ == "__main__":
    sys.exit(main())
