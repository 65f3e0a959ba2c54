"""Open the chunks of a stream dataset, and wait for those that are not built yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from trm_cli.data.files.checked_files import CheckedFiles
from trm_cli.data.files.manifest import MANIFEST_NAME, Manifest, check_contents, read_manifest
from trm_cli.data.stream.storage.heartbeat import Beat, read_beats
from trm_cli.data.stream.storage.plan import ChunkPlan, chunks_from_json
from trm_cli.data.stream.storage.shard_file import RecordShard, ShardFile
from trm_cli.data.stream.storage.waiting import Waiting
from trm_cli.errors import REBUILD, DatasetError

# Files that are open at a time, each with an index of some 25 bytes a record.
_OPEN_SHARDS = 8
_CONTINUE = "run the command that builds it again; it continues where it stopped"


class ChunkStore:
    """Opens chunks by their place in the plan; waits for those that a running builder has yet to write."""

    def __init__(self, root: str | Path, split: str, waiting: Waiting | None = None) -> None:
        self.root = Path(root)
        self.split = split
        self._waiting = waiting or Waiting()
        manifest = self._read()
        self.fingerprint = manifest.fingerprint or ""
        self.source = manifest.source
        self.chunks: tuple[ChunkPlan, ...] = tuple(
            chunk
            for chunk in chunks_from_json(manifest.planned.get("chunks"), str(self.root / MANIFEST_NAME))
            if chunk.split == split
        )
        check_contents(root, split, manifest)
        self._manifest = manifest
        self._verified: dict[int, tuple[int, int, int]] = {}  # states of the files that were found to be right
        self.shard = lru_cache(maxsize=_OPEN_SHARDS)(self._open)

    @property
    def complete(self) -> bool:
        """Whether the build had ended when the manifest was last read."""
        return self._manifest.state == "complete"

    @property
    def ready(self) -> int:
        """Chunks of this split that can be opened, as last read."""
        return sum(chunk.file in self._manifest.files for chunk in self.chunks)

    def _read(self) -> Manifest:
        manifest = read_manifest(self.root)
        if manifest is None:
            raise DatasetError(f"{self.root} has no {MANIFEST_NAME}", hint="build the dataset: trm build-dataset MODEL")
        return manifest

    def _open(self, index: int) -> RecordShard:
        chunk = self.chunks[index]
        if chunk.file not in self._manifest.files:
            self._wait_for(chunk)
        file = ShardFile(self.root / chunk.file)
        if self._verified.get(index) != file.state:
            self._verify(file, chunk.file)
            self._verified[index] = file.state
        shard = RecordShard(file)
        if len(shard) != chunk.records or shard.first != chunk.first:
            raise DatasetError(f"{file.path} does not hold the records that were planned", hint=REBUILD)
        return shard

    def _verify(self, file: ShardFile, name: str) -> None:
        """Compare the content of a file with the manifest, once; raises DatasetError where it differs."""
        checked, sha256 = CheckedFiles(self.root), self._manifest.files[name].sha256
        if checked.has_passed(name, sha256):
            return
        if file.sha256() != sha256:
            raise file.damaged("its content is not what the manifest says")
        file.require_unchanged()
        checked.remember(name, sha256)

    def _wait_for(self, chunk: ChunkPlan) -> None:
        """Return when the chunk is in the manifest.

        Raises DatasetError when the builder failed or died, the time is over, or the dataset was replaced meanwhile;
        WaitCancelled when whoever waits wants to stop.
        """
        last_news = next_notice = time.monotonic()
        silent_looks, known = 0, (-1, -1)
        while True:
            self._manifest = self._read()
            if self._manifest.fingerprint != self.fingerprint:
                raise DatasetError(f"{self.root} was rebuilt with other settings while it was read")
            if chunk.file in self._manifest.files:
                return
            beats = read_beats(self.root)
            silent_looks = 0 if self._builder_works(beats) else silent_looks + 1
            # Two looks: between the last chunk and the end of a build there is a moment without a heartbeat.
            if silent_looks > 1 or self._waiting.limit <= 0:
                raise self._gone(chunk)
            now = time.monotonic()
            done, total = sum(beat.done for beat in beats), max((beat.total for beat in beats), default=0)
            if (found := (len(self._manifest.files), done)) != known:
                known, last_news = found, now
            if now - last_news > self._waiting.limit:
                raise DatasetError(
                    f"waited {self._waiting.limit:.0f} s for {chunk.file} of {self.root}, and nothing new was built",
                    hint="look at the builder; training continues from its checkpoint when the data is there",
                )
            if now >= next_notice:
                self._waiting.notice(f"waiting for {chunk.file}: the builder has written {done:,} of {total:,} records")
                next_notice = now + 5.0
            time.sleep(self._waiting.poll)

    def _builder_works(self, beats: Sequence[Beat]) -> bool:
        if self._waiting.builder_works is not None:
            return self._waiting.builder_works()
        return any(beat.alive for beat in beats)

    def _gone(self, chunk: ChunkPlan) -> DatasetError:
        reasons = [beat.error for beat in read_beats(self.root) if beat.error]
        why = f"its builder failed: {reasons[0]}" if reasons else "its build was interrupted and nobody continues it"
        return DatasetError(f"{self.root} is not complete ({chunk.file} is missing): {why}", hint=_CONTINUE)
