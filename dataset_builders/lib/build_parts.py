"""Manage the finished part files of an unfinished build, and the workers that make them.

A part is a pure function of the flags and its name, so that neither a kill nor the number of workers changes a byte.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.building.build_directory import Build
from trm_cli.data.building.build_shards import require_no_gap
from trm_cli.data.building.builder_cli import Progress
from trm_cli.data.files.durable import write_atomically

Item = TypeVar("Item")
Result = TypeVar("Result")
Arrays = dict[str, NDArray[np.generic]]
Range = tuple[int, int]
_DIGEST_BYTES = hashlib.sha256().digest_size


class PartStore:
    """A directory of named parts; each file is the SHA-256 of its content followed by the arrays in npz form."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.part"

    def write(self, name: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Store a part; it is durable when this returns."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy types the keyword names as flags
        content = buffer.getvalue()
        write_atomically(self._path(name), hashlib.sha256(content).digest() + content)

    def read(self, name: str) -> Arrays | None:
        """Return a part, or None when it is missing or damaged (it is then made again)."""
        try:
            raw = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        content = raw[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != raw[:_DIGEST_BYTES]:
            self._path(name).unlink()
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return dict(archive)


def complete_parts(
    build: Build,
    items: Mapping[str, Item],
    make: Callable[[Item], Arrays],
    workers: int,
    report: Callable[[Item], None],
    *,
    shared: bool = True,
) -> list[Arrays]:
    """Return the parts of `items` (by name) in order: read where they were made before, made by `make` otherwise.

    `report` is called for each. Where the parts are `shared` among shards, a shard makes and returns its own alone, and
    a merge makes none. Raises DatasetError where a merge does not find them all.
    """
    store = PartStore(build.parts)
    found: dict[str, Arrays] = {}
    missing: list[tuple[int, str]] = []
    for number, name in enumerate(items):
        if shared and build.shard is not None and not build.shard.owns(number):
            continue
        part = store.read(name)
        if part is None:
            missing.append((number, name))
        else:
            found[name] = part
            report(items[name])
    if shared and build.merge:
        require_no_gap(build.root, build.parts, missing)

    def work(entry: tuple[int, str]) -> Arrays:
        part = make(items[entry[1]])
        store.write(entry[1], part)
        return part

    for (_, name), part in run_parallel(work, missing, workers):
        found[name] = part
        report(items[name])
    return [found[name] for name in items if name in found]


def complete_ranges(
    build: Build,
    split: str,
    candidates: Range,
    size: int,
    make: Callable[[Range], Arrays],
    workers: int,
    progress: Progress,
) -> list[Arrays]:
    """Return the parts with the candidates [first, stop) of a split in order, `size` candidates each.

    Shards make the parts with the first candidates of a split. How many more are needed is known when all of those are
    there, so these are made by the process that ends the build, and no progress was announced for them.
    """
    start, stop = candidates
    items = {f"{split}_{a:09d}_{b:09d}": (a, b) for a in range(start, stop, size) for b in [min(a + size, stop)]}
    first = start == 0
    return complete_parts(
        build, items, make, workers, lambda item: progress.add(item[1] - item[0] if first else 0), shared=first
    )


def run_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Result]]:
    """Call `function` on every item with `workers` threads, and yield (item, result) as they end.

    Threads suit compiled code that releases the interpreter lock; for processes see `worker_pool`.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        for item in items:
            yield item, function(item)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        futures = {pool.submit(function, item): item for item in items}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        # Also on Ctrl-C and on an error in one item: what has not begun is not begun any more.
        pool.shutdown(wait=True, cancel_futures=True)
