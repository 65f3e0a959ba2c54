"""Divide one build between several processes (`--shard i/n`): which part files each writes, and the locks.

Every shard holds a lock of its own while it works, and the directory's only for the moments in which all write the same
files. A build of the whole, and a merge, hold the directory throughout and begin only when no shard is at work.
Standard library only.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from trm_cli.data.building.builder_cli import LARGEST_NUMBER
from trm_cli.data.files.durable import DirectoryBusy, held_directory, locked_directory
from trm_cli.errors import DatasetError

# Another shard may be reading its sources; longer than that, something is wrong.
PATIENCE_SECONDS = 120.0
#: A file in the folder of a shard that has ended.
_ENDED = "ended"
_NAME = re.compile(r"shard_(\d+)_of_(\d+)")


@dataclass(frozen=True)
class BuildShard:
    """Part `index` (from 0) of `count` independent parts of a build."""

    index: int
    count: int

    @property
    def name(self) -> str:
        """Return the name of the directory whose lock this shard holds while it works."""
        return f"shard_{self.index}_of_{self.count}"

    @property
    def tag(self) -> str:
        """Return what distinguishes the files of this shard."""
        return f"_{self.name}"

    def owns(self, number: int) -> bool:
        """Return whether the part file of that number is made by this shard."""
        return number % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def add_shard_flags(parser: argparse.ArgumentParser) -> None:
    """Add --shard and --merge, for a builder that can be run as several programs at once."""
    parser.add_argument(
        "--shard", type=_shard, metavar="I/N", help="make only part I (0..N-1) of N; --merge joins them"
    )
    parser.add_argument("--merge", action="store_true", help="join the parts of all shards and seal the dataset")


def _shard(text: str) -> BuildShard:
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count) <= LARGEST_NUMBER):
        raise argparse.ArgumentTypeError(f"must be I/N with 0 <= I < N, N at most {LARGEST_NUMBER:,}, found {text}")
    return BuildShard(int(index), int(count))


# ---------------------------------------------------------------- who may write


@contextmanager
def hold(root: Path, folder: Path, shard: BuildShard | None) -> Iterator[Callable[[], None]]:
    """Hold `root`, and yield what a shard calls when it has planned, so that others may plan and work beside it.

    `folder` is where shards have their locks. Without a shard the directory is held to the end of the block.
    Raises DatasetError where another build, the same shard, or a shard of another division is at work.
    """
    with ExitStack() as own, ExitStack() as directory:
        directory.enter_context(locked_directory(root) if shard is None else alone(root))
        _refuse_others(root, folder, shard)

        def let_others_in() -> None:
            if shard is not None:
                # In this order: without either lock a merge could begin.
                own.enter_context(locked_directory(folder / shard.name))
                directory.close()

        yield let_others_in


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold `root` for what only one shard at a time may do, and wait for others that do so. Raises DatasetError."""
    until = time.monotonic() + PATIENCE_SECONDS
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(locked_directory(root))
                break
            except DatasetError as error:
                if not isinstance(error.__cause__, DirectoryBusy) or time.monotonic() > until:
                    raise
            time.sleep(0.1)
        yield


def shards_at_work(folder: Path) -> dict[BuildShard, str]:
    """Return the shards that are at work, with their process ids. The directory must be held: this tries the locks."""
    found = {}
    for shard in _known(folder):
        try:
            with held_directory(folder / shard.name):
                pass
        except DirectoryBusy as error:
            found[shard] = error.holder
    return found


def note_end(folder: Path, shard: BuildShard) -> None:
    """Note that a shard has made all of its parts."""
    (folder / shard.name).mkdir(parents=True, exist_ok=True)
    (folder / shard.name / _ENDED).touch()


def shard_states(folder: Path) -> dict[BuildShard, str]:
    """The state of each shard of a build that has not been joined, in words; none where it has no shards.

    They are told while others work, so that one may have moved on meanwhile.
    """
    begun = _known(folder)
    if not begun:
        return {}
    working = shards_at_work(folder)
    count = max(shard.count for shard in begun)
    found = {}
    for shard in (BuildShard(index, count) for index in range(count)):
        if shard in working:
            found[shard] = f"at work (process {working[shard]})"
        elif (folder / shard.name / _ENDED).exists():
            found[shard] = "ended"
        else:
            found[shard] = "stopped before its end" if shard in begun else "not begun"
    return found


def _known(folder: Path) -> list[BuildShard]:
    """Return the shards that have begun at some time."""
    matches = (_NAME.fullmatch(path.name) for path in folder.glob("shard_*_of_*"))
    return sorted(
        (BuildShard(int(match[1]), int(match[2])) for match in matches if match), key=lambda shard: shard.name
    )


def _refuse_others(root: Path, folder: Path, shard: BuildShard | None) -> None:
    for other, holder in shards_at_work(folder).items():
        # Shards of another division would write the same parts.
        if shard is None or other == shard or other.count != shard.count:
            raise DatasetError(
                f"{root}: shard {other} is being built by another process (id {holder})",
                hint="wait for it to end, stop it, or choose another --output-dir",
            )


# ---------------------------------------------------------------- what is missing


def require_no_gap(root: Path, folder: Path, missing: Sequence[tuple[int, str]]) -> None:
    """Raise DatasetError unless `missing`, the numbers and names of parts that a merge does not find, is empty."""
    if not missing:
        return
    counts = {shard.count for shard in _known(folder)}
    owners = ""
    if len(counts) == 1:
        count = counts.pop()
        names = [str(BuildShard(index, count)) for index in sorted({number % count for number, _ in missing})]
        owners = f" (of shard {', '.join(names)})"
    raise DatasetError(
        f"{root}: {len(missing):,} part files are missing{owners}, the first is {missing[0][1]}",
        hint="let every shard end before --merge",
    )
