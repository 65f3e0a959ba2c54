"""What every builder shares: common flags, progress lines, errors to exit codes, and a build that can be killed.

Standard library only, so that `--plan` answers without numpy.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import NoReturn

from trm_cli.data.building.build_shards import BuildShard, alone, hold, shards_at_work
from trm_cli.data.files.manifest import (
    MANIFEST_NAME,
    Manifest,
    check_complete,
    read_manifest,
    seal,
    write_manifest,
)
from trm_cli.errors import DatasetError, ExitCode, TrmError
from trm_cli.log_level import configure_from_environment

PARTS_NAME = ".build"
_log = logging.getLogger(__name__)
_PROGRESS_SECONDS = 0.2
_PLAIN_SECONDS = 5.0


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(ExitCode.USAGE, f"{self.prog}: error: {message} (see --help)\n")


def common_parser(package: str | None, name: str, description: str, example: str) -> argparse.ArgumentParser:
    """Return a parser with the flags that all builders have.

    package, name: of the module, so that what is printed can be run; without a package (a file of one's own) `name.py`.
    """
    program = f"python -m {package}.{name}" if package else f"python {name}.py"
    parser = _Parser(
        prog=program,
        description=description,
        epilog=f"example: {program} {example}",
        allow_abbrev=False,
    )
    parser.add_argument("--output-dir", type=Path, help="directory to build in; an unfinished build there is continued")
    parser.add_argument("--seed", type=int, default=0, help="decides every random choice (default 0)")
    parser.add_argument(
        "--workers",
        type=positive,
        default=usable_cpus(),
        help="threads or processes; never changes the result (default: all CPUs)",
    )
    parser.add_argument("--limit", type=positive, help="build at most this many items per split, for a quick look")
    parser.add_argument("--plan", action="store_true", help="print what would be built as JSON, and build nothing")
    parser.add_argument("--rebuild", action="store_true", help="remove what was built before and start again")
    # For the builders that do not call `add_shard_flags`.
    parser.set_defaults(shard=None, merge=False)
    return parser


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def positive(text: str) -> int:
    """Read a flag's positive integer."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, found {text}")
    return value


def not_negative(text: str) -> int:
    """Read a flag's integer of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, found {text}")
    return value


def split_facts(groups: int, mean_examples: float, puzzles: int) -> dict[str, float]:
    """Return one split's entry of the plan."""
    return {"total_groups": groups, "mean_puzzle_examples": mean_examples, "total_puzzles": puzzles}


def say_nothing_to_share(root: Path) -> None:
    """Say that a shard of a source that is only read makes no parts, so that the same commands fit every source."""
    print(f"{root}: nothing to share out, --merge reads this source and writes the dataset", file=sys.stderr)


def print_plan(plan: Mapping[str, object]) -> None:
    """Print the answer to --plan: one JSON object."""
    print(json.dumps(plan))


# ---------------------------------------------------------------- progress


class Progress:
    """Says how far a build is: JSON lines on stdout under TRM_PROGRESS=json, otherwise plain text on stderr."""

    def __init__(self, total: int, unit: str) -> None:
        self._total = total
        self._unit = unit
        self._json = os.environ.get("TRM_PROGRESS") == "json"
        self._interval = _PROGRESS_SECONDS if self._json or sys.stderr.isatty() else _PLAIN_SECONDS
        self._last = float("-inf")

    def report(self, done: int, note: str = "", total: int | None = None) -> None:
        """Report `done` items; a report that follows the last too closely is left out unless it ends the work."""
        self._total = self._total if total is None else total
        now = time.monotonic()
        if now - self._last < self._interval and done < self._total and not note:
            return
        self._last = now
        if self._json:
            line = {"done": done, "total": self._total, "unit": self._unit, "note": note}
            print(json.dumps(line), flush=True)
            return
        end = "\r" if sys.stderr.isatty() and done < self._total and not note else "\n"
        print(
            f"{done:,} of {self._total:,} {self._unit}{f': {note}' if note else ''}",
            end=end,
            file=sys.stderr,
            flush=True,
        )


# ---------------------------------------------------------------- from exceptions to exit codes


class _StopRequest(BaseException):
    """SIGTERM arrived."""


def _request_stop(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  # signature of a signal handler
    raise _StopRequest


def run_builder(
    parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None], argv: Sequence[str] | None
) -> int:
    """Parse the flags, run `main` and return the exit code; every expected failure is one line on stderr."""
    options = parser.parse_args(argv)
    if options.output_dir is None and not options.plan:
        parser.error("--output-dir is required")
    if options.shard and (options.merge or options.rebuild):
        parser.error("--shard stands alone: first every shard, then one --merge; --rebuild goes before the shards")
    previous = signal.signal(signal.SIGTERM, _request_stop)
    try:
        configure_from_environment()
        main(options)
    except TrmError as error:
        return _fail(parser, error.message + (f" ({error.hint})" if error.hint else ""), error.exit_code)
    except OSError as error:
        # A full disk names no file; the directory at least is known.
        place = f"{error.filename or options.output_dir}: {error.strerror or error}"
        return _fail(parser, f"{place} (what was finished is kept; the same command continues)", ExitCode.DATASET)
    except KeyboardInterrupt:
        return _fail(parser, "interrupted; the same command continues", ExitCode.INTERRUPTED)
    except _StopRequest:
        return _fail(parser, "stopped; the same command continues", ExitCode.TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, previous)
    return ExitCode.DONE


def _fail(parser: argparse.ArgumentParser, message: str, code: ExitCode) -> int:
    print(f"{parser.prog}: error: {' '.join(message.split())}", file=sys.stderr)
    return code


# ---------------------------------------------------------------- a build that survives being killed


class Build:
    """A directory that this process holds, and what its manifest says. `complete`: there is nothing left to do.

    With a `shard` only its own parts are made, beside other shards; a `merge` makes none of those.
    """

    def __init__(self, root: Path, manifest: Manifest, shard: BuildShard | None = None, merge: bool = False) -> None:
        self.root = root
        self.manifest = manifest
        self.shard = shard
        self.merge = merge

    @property
    def complete(self) -> bool:
        """Return whether the same flags were built to the end before."""
        return self.manifest.state == "complete"

    @property
    def parts(self) -> Path:
        """Return the directory for finished parts of an unfinished build."""
        return self.root / PARTS_NAME

    def alone(self) -> AbstractContextManager[None]:
        """Hold the directory for what only one shard at a time may do."""
        return nullcontext() if self.shard is None else alone(self.root)

    def end_shard(self) -> None:
        """Say that this shard's parts are made."""
        print(f"{self.root}: shard {self.shard} is done; --merge joins all shards", file=sys.stderr)

    def finish(self, names: Sequence[str], finished: Mapping[str, object]) -> None:
        """Seal the manifest over `names` (relative to the root), then remove the parts.

        In this order: parts removed first and then a kill would mean building them again.
        """
        self.manifest = seal(self.root, self.manifest, list(names), finished)
        shutil.rmtree(self.parts, ignore_errors=True)


@contextmanager
def open_build(
    root: Path,
    manifest: Manifest,
    *,
    rebuild: bool,
    shard: BuildShard | None = None,
    merge: bool = False,
    products: Sequence[str] = ("train", "test"),
) -> Iterator[Build]:
    """Hold `root` and begin, continue or recognise as complete the build that `manifest` describes.

    `products` are the directories below root that --rebuild removes. With a `shard` other shards may work beside this
    one, and the block may only make parts. Raises DatasetError when another process builds
    there, when the directory holds a build with other flags, or when it holds a dataset that no builder of this project
    wrote (which --rebuild does not remove either).
    """
    with hold(root, root / PARTS_NAME, shard) as let_others_in:
        if not (root / MANIFEST_NAME).exists() and any((root / split).exists() for split in ("train", "test")):
            raise DatasetError(
                f"{root} holds a dataset of another program; it is not overwritten", hint="choose another --output-dir"
            )
        if rebuild:
            _start_again(root, manifest, products)
        existing = read_manifest(root)
        if existing is None or _nothing_lost(root, existing, products):
            write_manifest(root, manifest)
            existing = manifest
        _require_same(root, existing, manifest)
        _log.info("%s is %s, by %s with %s", root, existing.state, existing.builder, existing.flags)
        build = Build(root, existing, shard, merge)
        if build.complete:
            check_complete(root, existing)
            # Left behind when the process was killed after sealing.
            shutil.rmtree(build.parts, ignore_errors=True)
        else:
            build.parts.mkdir(exist_ok=True)
            let_others_in()
        yield build


def _start_again(root: Path, manifest: Manifest, products: Sequence[str]) -> None:
    """Remove a previous build, so that a kill in between leaves nothing that looks whole or belongs to other flags."""
    # Before the new manifest: parts of other flags under the new manifest would be taken for its own.
    shutil.rmtree(root / PARTS_NAME, ignore_errors=True)
    # Before the products: until they are gone the manifest must not call them complete.
    write_manifest(root, manifest)
    for name in products:
        shutil.rmtree(root / name, ignore_errors=True)


def _nothing_lost(root: Path, existing: Manifest, products: Sequence[str]) -> bool:
    """Return whether an unfinished build has finished nothing yet (wrong flags, say), so that any other may begin."""
    parts = root / PARTS_NAME
    leftovers = [path for path in parts.glob("*") if not path.name.startswith("shard_")]
    leftovers += [root / name for name in products if (root / name).exists()]
    return existing.state != "complete" and not leftovers and not shards_at_work(parts)


def _require_same(root: Path, existing: Manifest, wanted: Manifest) -> None:
    keys = ("builder", "builder_version", "seed", "source")
    old = {**{key: getattr(existing, key) for key in keys}, **existing.flags}
    new = {**{key: getattr(wanted, key) for key in keys}, **wanted.flags}
    # Through JSON, because what was read has lists where what is wanted may have tuples.
    different = [
        f"{key} {json.dumps(old.get(key))} there, {json.dumps(new.get(key))} now"
        for key in sorted({*old, *new})
        if json.dumps(old.get(key), sort_keys=True) != json.dumps(new.get(key), sort_keys=True)
    ]
    if different:
        what = "a dataset" if existing.state == "complete" else "an unfinished build"
        raise DatasetError(
            f"{root} holds {what} with other settings: {'; '.join(different)}",
            hint="choose another --output-dir, or --rebuild to replace it",
        )
