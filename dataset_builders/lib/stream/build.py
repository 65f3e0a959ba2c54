"""Write a planned stream dataset: part files by any number of workers, every hundred of them joined into one chunk.

A part is a function of the plan and its number, and files are written atomically. So a build that was killed
continues with the parts that are missing, and neither kills nor workers nor shards change a byte of the result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from trm_cli.data.building.build_shards import BuildShard
from trm_cli.data.files.durable import atomic_file, sha256_file
from trm_cli.data.files.manifest import FileRecord, Manifest, write_manifest
from trm_cli.data.stream.storage.heartbeat import Heartbeat
from trm_cli.data.stream.storage.plan import FOLDER, BatchPlan, ChunkPlan, batches_of, chunks_from_json
from trm_cli.data.stream.storage.shards import Arrays, join, pack, read_arrays, write_arrays
from trm_cli.errors import DatasetError

from ..worker_pool import ForkPool
from .mixture import Mixture


class StreamBuild:
    """One build of one directory. `report(records done, of all, note)` is called with the progress."""

    def __init__(
        self, root: Path, mixture: Mixture, manifest: Manifest, report: Callable[[int, int, str], None]
    ) -> None:
        self.root = root
        self.mixture = mixture
        self.manifest = manifest
        self._report = report
        self._batch_records = int(str(manifest.planned["batch_records"]))
        self.chunks = chunks_from_json(manifest.planned["chunks"], str(root))
        self._done = 0

    @property
    def progress(self) -> tuple[int, int]:
        """Return records that are written, and all records."""
        return self._done, sum(chunk.records for chunk in self.chunks)

    def missing(self, shard: BuildShard | None = None) -> list[BatchPlan]:
        """Return the part files still to be made, in order, and count what is there."""
        self._done = 0
        todo = []
        for chunk in self.chunks:
            if self._is_finished(chunk):
                self._done += chunk.records
                continue
            for batch in batches_of(chunk, self._batch_records):
                if (self.root / batch.file).is_file():
                    self._done += batch.count
                elif shard is None or shard.owns(batch.number):
                    todo.append(batch)
        return todo

    def run(self, workers: int, beat: Heartbeat, shard: BuildShard | None) -> None:
        """Make what is missing; without a shard, join the parts of every chunk as soon as all are there."""
        if shard is None:
            # A shard cannot know what was left behind and what another shard is just writing.
            self._remove_leftovers()
        todo = self.missing(shard)
        absent = {batch.file for batch in todo}
        pending = deque(chunk for chunk in self.chunks if not self._is_finished(chunk))
        # Forked before the thread of the heartbeat begins: a fork copies a lock that another thread holds as held.
        with ForkPool(self.make, todo, workers) as pool:
            beat.start()
            self._say("")
            if shard is None:
                self._join_ready(pending, absent)
            for batch in pool.run():
                absent.discard(batch.file)
                self._done += batch.count
                self._say("")
                if shard is None:
                    self._join_ready(pending, absent)

    def make(self, batch: BatchPlan) -> None:
        """Write one part file."""
        with atomic_file(self.root / batch.file) as stream:
            records = self.mixture.records(batch.split, batch.first, batch.count)
            write_arrays(stream, pack(records, batch.first, self.mixture.shape.picture_bytes))

    def _is_finished(self, chunk: ChunkPlan) -> bool:
        recorded = self.manifest.files.get(chunk.file)
        path = self.root / chunk.file
        return recorded is not None and path.is_file() and path.stat().st_size == recorded.size

    def _join_ready(self, pending: deque[ChunkPlan], absent: set[str]) -> None:
        """Join chunks in planned order: a trainer waits for the first, so it must not come after the second."""
        while pending and not any(batch.file in absent for batch in batches_of(pending[0], self._batch_records)):
            self._join(pending.popleft())

    def _join(self, chunk: ChunkPlan) -> None:
        batches = batches_of(chunk, self._batch_records)
        with atomic_file(self.root / chunk.file) as stream:
            write_arrays(stream, join([self._read(batch) for batch in batches]))
        self._record(chunk.file)
        # After the manifest names the chunk: a kill in between leaves parts that nobody needs, not a gap.
        for batch in batches:
            (self.root / batch.file).unlink(missing_ok=True)
        self._say(f"{chunk.file} is ready")

    def _read(self, batch: BatchPlan) -> Arrays:
        """Return the arrays of a part file; one that is damaged is made again."""
        path = self.root / batch.file
        try:
            arrays = read_arrays(path)
            if len(arrays["kind"]) == batch.count and int(arrays["header"][0]) == batch.first:
                return arrays
        except DatasetError:
            path.unlink(missing_ok=True)
        self.make(batch)
        return read_arrays(path)

    def _record(self, name: str) -> None:
        path = self.root / name
        files = {**self.manifest.files, name: FileRecord(path.stat().st_size, sha256_file(path))}
        self.manifest = replace(self.manifest, files=dict(sorted(files.items())))
        write_manifest(self.root, self.manifest)

    def seal(self, others: Sequence[str]) -> None:
        """Record the other files and call the dataset complete; then remove what only an unfinished build needs."""
        files = dict(self.manifest.files)
        for name in others:
            path = self.root / name
            files[name] = FileRecord(path.stat().st_size, sha256_file(path))
        finished = {"chunks": len(self.chunks), "records": self.manifest.planned["records"]}
        self.manifest = replace(self.manifest, files=dict(sorted(files.items())), finished=finished, state="complete")
        write_manifest(self.root, self.manifest)

    def fail(self) -> None:
        """Record in the manifest that the builder failed, for training that waits for the data."""
        self.manifest = replace(self.manifest, state="failed")
        write_manifest(self.root, self.manifest)

    def _remove_leftovers(self) -> None:
        """Remove parts of finished chunks and half-written files of a builder that was killed."""
        for path in (self.root / FOLDER).glob(".batch*.tmp"):
            path.unlink(missing_ok=True)
        for chunk in self.chunks:
            if self._is_finished(chunk):
                for batch in batches_of(chunk, self._batch_records):
                    (self.root / batch.file).unlink(missing_ok=True)

    def _say(self, note: str) -> None:
        self._report(*self.progress, note)
