"""Copy files from and to addresses such as `s3://bucket/boards.csv`, through fsspec.

Standard library only, until an address is opened.
"""

from __future__ import annotations

import difflib
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

from trm_cli.data.files.durable import sync_file
from trm_cli.errors import DatasetError, TrmError, UsageError, first_line

_log = logging.getLogger(__name__)

#: Seconds after which a store that is still busy is spoken of: at first, and then again and again.
_FIRST_NOTICE, _NEXT_NOTICE = 4.0, 30.0
#: Modules whose packages have another name.
_PACKAGES = {"smbclient": "smbprotocol", "libarchive": "libarchive-c", "git": "GitPython"}


@dataclass(frozen=True)
class RemoteFolder:
    """A folder, or one file, under an address. Every method raises DatasetError where the store refuses."""

    address: str
    store: Any  # fsspec.AbstractFileSystem
    root: str

    @classmethod
    def open(cls, address: str) -> RemoteFolder:
        """Find what serves an address. Raises UsageError where nothing here does."""
        import fsspec
        from fsspec.registry import known_implementations

        protocol = address.partition("://")[0].rpartition("::")[2]
        try:
            with _told(address):
                store, root = fsspec.core.url_to_fs(address)
        except ImportError as error:
            package = _missing_package(str(known_implementations[protocol]["class"]), error)
            scheme = address if "::" in address else f"{protocol}://"
            raise UsageError(
                f"{scheme} needs the package {package}, which is not installed", hint=f"pip install {package}"
            ) from error
        except ValueError as error:
            near = difflib.get_close_matches(protocol, known_implementations, n=1)
            raise UsageError(
                f"{address}: no file system is known for {protocol}://",
                hint=f"did you mean {near[0]}://?" if near else "for example s3://, gs://, file://",
            ) from error
        return cls(address, store, root)

    def listing(self) -> dict[str, int]:
        """The files below the folder and their sizes in bytes; of one file: an empty name."""
        with _told(self.address), _existing(self.address):
            found = self.store.find(self.root, detail=True)
        root = self.root.rstrip("/")
        names = {path[len(root) :].lstrip("/"): int(info["size"] or 0) for path, info in found.items()}
        if any(".." in Path(name).parts for name in names):
            raise DatasetError(f"{self.address} has a file with .. in its name")
        return names

    def state(self, name: str) -> str:
        """What changes when a file does."""
        with _told(self.address):
            return str(self.store.checksum(self._path(name)))

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        with _told(self.address):
            try:
                content: bytes = self.store.cat_file(self._path(name))
            except FileNotFoundError:
                return None
        return content

    def get(self, name: str, target: Path) -> None:
        """Copy a file to this machine, and to its disk."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with _told(self.address):
            self.store.get_file(self._path(name), str(target))
            with target.open("rb+") as stream:
                sync_file(stream.fileno())

    def put(self, source: Path, name: str) -> None:
        """Copy a file of this machine there, and compare the sizes."""
        path, size = self._path(name), source.stat().st_size
        with _told(self.address), _existing(self.address):
            self.store.makedirs(path.rpartition("/")[0], exist_ok=True)
            self.store.put_file(str(source), path)
            self.store.invalidate_cache()
            found = int(self.store.info(path)["size"])
        if found != size:
            raise DatasetError(f"{self.address}/{name} has {found} bytes there, {size} were sent")

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        path = self._path(name)
        with _told(self.address), _existing(self.address):
            self.store.makedirs(path.rpartition("/")[0], exist_ok=True)
            self.store.pipe_file(path, content)

    def remove(self, name: str) -> None:
        """Remove a file where there is one."""
        with _told(self.address), suppress(FileNotFoundError):
            self.store.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}" if name else self.root


def _missing_package(implementation: str, error: ImportError) -> str:
    """What has to be installed for a file system: the package that has it, or, of fsspec's own, what it imports."""
    package = implementation.partition(".")[0]
    needed = getattr(error.__cause__, "name", None)
    if package == "fsspec" and needed:
        package = str(needed).partition(".")[0]
    return _PACKAGES.get(package, package)


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Turn what a store raises, each of its own kind, into a DatasetError that names the address; say that it is still
    waited for where that takes long."""
    try:
        with _noticed(address):
            yield
    except (TrmError, FileNotFoundError, ImportError, ValueError):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error)}".rstrip(": ")
        raise DatasetError(f"{address}: {said}", hint=_next(error)) from error


@contextmanager
def _noticed(address: str) -> Iterator[None]:
    """Log every now and then how long a store has been busy: one that hangs is waited for by its client for minutes."""
    done, started = threading.Event(), time.monotonic()

    def notice() -> None:
        pause = _FIRST_NOTICE
        while not done.wait(pause):
            _log.warning("waiting for %s, %.0f s so far", address, time.monotonic() - started)
            pause = _NEXT_NOTICE

    thread = threading.Thread(target=notice, name="notices of a store", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _next(error: Exception) -> str | None:
    """What to do where a store raises this; None where nothing is known."""
    if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
        return "check the credentials for this store, and their rights to it"
    if isinstance(error, NotImplementedError):
        return "this kind of address cannot be written; name another one"
    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        return "free some space on the disk of this machine; the same command goes on"
    return "check the connection to this store; the same command goes on"


@contextmanager
def _existing(address: str) -> Iterator[None]:
    """Say that the bucket is missing: what else could be, where a folder is listed or written?"""
    try:
        yield
    except FileNotFoundError as error:
        hint = "check the address; a bucket is made before anything is written to it"
        raise DatasetError(f"{address}: {first_line(error)}", hint=hint) from error
