"""Provide what every builder's command line shares: flags, progress reports, exit codes.

Standard library only, so that `--plan` answers without numpy.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from trm_cli.addresses import is_address, local_location
from trm_cli.collector import spare_imports
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.ending_signals import ending_signals, handled
from trm_cli.errors import ExitCode, TrmError
from trm_cli.log_level import configure_from_environment
from trm_cli.paths import do_without_temporary_folder

HINT_MARK = " \N{BLACK RIGHT-POINTING POINTER} hint: "  # between message and hint, where a program reads them
LARGEST_NUMBER = 10**9  # of a flag; products of two of them are 64-bit integers
_PROGRESS_SECONDS = 0.2
_PLAIN_SECONDS = 5.0


class _Parser(argparse.ArgumentParser):
    """Argument parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        known = list(self._option_string_actions)
        words = message.removeprefix("unrecognized arguments: ").split() if "unrecognized" in message else []
        near = [match for word in words for match in difflib.get_close_matches(word, known, n=1)]
        meant = f": did you mean {near[0]}?" if near else ""
        self.exit(ExitCode.USAGE, f"{self.prog}: error: {message}{meant} (see --help)\n")


def common_parser(package: str | None, name: str, description: str, example: str) -> argparse.ArgumentParser:
    """Return a parser with the flags that all builders have.

    package, name: of the module, so that what is printed can be run; without a package (a file of one's own) `name.py`.
    """
    program = f"python -m {package}.{name}" if package else f"python {name}.py"
    parser = _Parser(prog=program, description=description, epilog=f"example: {program} {example}", allow_abbrev=False)
    parser.add_argument(
        "--output-dir",
        metavar="DIR|ADDRESS",
        help="directory to build in, where an unfinished build is continued; or an address such as s3://bucket/data, "
        "which the dataset is sent to when it is complete",
    )
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
    return whole_number(text, 1, LARGEST_NUMBER)


def not_negative(text: str) -> int:
    """Read a flag's integer of at least 0."""
    return whole_number(text, 0, LARGEST_NUMBER)


def whole_number(text: str, least: int, most: int) -> int:
    """Read a flag's integer from `least` to `most`."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, found {text!r}") from None
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"must be from {least:,} to {most:,}, found {text}")
    return value


def split_counts(options: argparse.Namespace, default: int | None) -> tuple[int | None, int | None]:
    """Return --train and --test (`default` where they are not given), at most --limit; None: all that there are."""
    wanted = [default if count is None else count for count in (options.train, options.test)]
    train, test = (options.limit if count is None else min(count, options.limit or count) for count in wanted)
    return train, test


def split_facts(metadata: DatasetMetadata) -> dict[str, float]:
    """Return one split's entry of the plan."""
    return {key: getattr(metadata, key) for key in ("total_groups", "mean_puzzle_examples", "total_puzzles")}


def plan_document(described: Mapping[str, DatasetMetadata]) -> dict[str, object]:
    """Return the plan of splits whose metadata is known before they are built."""
    facts = {split: split_facts(metadata) for split, metadata in described.items()}
    sizes = ("seq_len", "vocab_size", "num_puzzle_identifiers")
    return {**facts, **{key: getattr(described["train"], key) for key in sizes}}


def say_nothing_to_share(root: Path) -> None:
    """Report that a source without part files has no work for shards, so that the same commands fit every source."""
    print(f"{root}: nothing to share out, --merge reads this source and writes the dataset", file=sys.stderr)


def print_plan(plan: Mapping[str, object]) -> None:
    """Print the answer to --plan: one JSON object."""
    print(json.dumps(plan))


# ---------------------------------------------------------------- progress


class Progress:
    """Report the progress of a build: JSON lines on stdout under TRM_PROGRESS=json, otherwise plain text on stderr."""

    def __init__(self, total: int, unit: str) -> None:
        self._total = total
        self._unit = unit
        self._json = os.environ.get("TRM_PROGRESS") == "json"
        self._interval = _PROGRESS_SECONDS if self._json or sys.stderr.isatty() else _PLAIN_SECONDS
        self._last = float("-inf")
        self._done = 0

    def add(self, count: int) -> None:
        """Report `count` more items."""
        self.report(self._done + count)

    def report(self, done: int, note: str = "", total: int | None = None) -> None:
        """Report `done` items; a report that follows the last too closely is left out unless it ends the work."""
        self._total = self._total if total is None else total
        self._done = done
        now = time.monotonic()
        if now - self._last < self._interval and done < self._total and not note:
            return
        self._last = now
        if self._json:
            line = {"done": done, "total": self._total, "unit": self._unit, "note": note}
            print(json.dumps(line), flush=True)
            return
        end = "\r" if sys.stderr.isatty() and done < self._total and not note else "\n"
        text = f"{done:,} of {self._total:,} {self._unit}{f': {note}' if note else ''}"
        print(text, end=end, file=sys.stderr, flush=True)


def say_complete(root: Path, counts: Mapping[str, int], what: str) -> None:
    """Print how many `what` each split of a finished build has, unless a program reads the progress: it says so."""
    if os.environ.get("TRM_PROGRESS") != "json":
        numbers = ", ".join(f"{count:,} {split}" for split, count in counts.items())
        print(f"{root}: complete, {what}: {numbers}", file=sys.stderr)


# ---------------------------------------------------------------- from exceptions to exit codes


class _StopRequest(BaseException):
    """SIGTERM or SIGHUP arrived."""


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
    spare_imports()
    try:
        with handled(_request_stop, *ending_signals()):
            configure_from_environment()
            do_without_temporary_folder()
            _build(options, main)
    except TrmError as error:
        if error.hint and os.environ.get("TRM_PROGRESS") == "json":
            return _fail(parser, f"{error.message}{HINT_MARK}{error.hint}", error.exit_code)
        return _fail(parser, error.message + (f" ({error.hint})" if error.hint else ""), error.exit_code)
    except OSError as error:
        # A full disk names no file; the directory at least is known.
        place = f"{error.filename or options.output_dir}: {error.strerror or error}"
        return _fail(parser, f"{place} (what was finished is kept; the same command continues)", ExitCode.DATASET)
    except KeyboardInterrupt:
        return _fail(parser, "interrupted; the same command continues", ExitCode.INTERRUPTED)
    except _StopRequest:
        return _fail(parser, "stopped; the same command continues", ExitCode.TERMINATED)
    return ExitCode.DONE


def _build(options: argparse.Namespace, main: Callable[[argparse.Namespace], None]) -> None:
    """Run `main` with the output directory as a path of this machine, and keep an address the same as it."""
    address = options.output_dir
    options.output_dir = None if address is None else Path(local_location(address))
    if address is None or not is_address(address) or options.plan:
        main(options)
        return
    from trm_cli.data.files.remote_dataset import begin_build, end_build

    begin_build(address, _say, rebuild=options.rebuild)
    main(options)
    end_build(address, _say)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _fail(parser: argparse.ArgumentParser, message: str, code: ExitCode) -> int:
    print(f"{parser.prog}: error: {' '.join(message.split())}", file=sys.stderr)
    return code
