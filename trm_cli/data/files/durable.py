"""Write files atomically, and lock directories: after a crash a file is complete or absent."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from trm_cli.data.files.regular_file import open_regular
from trm_cli.errors import DatasetError, TrmError
from trm_cli.paths import exists

LOCK_NAME = ".lock"
#: Set in the environment: a file system that has no locks is used without one.
NO_LOCK = "TRM_NO_LOCK"
#: What a file system answers that has no locks, or cannot flush a directory.
_UNSUPPORTED = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK}
_BLOCK_BYTES = 1 << 20
#: Other processes that may remove the lock's file just before this one has locked it.
_TRIES = 20


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under `path` only when the block ends without an exception.

    The order of the three steps at the end is what makes it durable; each says what would break without it.
    Only one process may write a given path at a time (builders hold `locked_directory`): what a killed writer left
    under the temporary name is overwritten by the next one.
    """
    target = Path(path)
    # In the same directory: a rename across file systems is a copy, and a copy can be cut in half.
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        with temporary.open("w+b") as stream:
            yield stream
            stream.flush()
            # Before the rename: after a power cut the new name could otherwise point at an empty file.
            sync_file(stream.fileno())
        # One step for every reader: they see the old file or the new one, never a part.
        temporary.replace(target)
        # After the rename: the new name itself lives in the directory and could otherwise be lost, although a later
        # file, written in the belief that this one exists, survives.
        sync_directory(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`; after a crash at any instant the file is the old one or the new one, never a part."""
    with atomic_file(path) as stream:
        stream.write(data)


def sync_file(descriptor: int) -> None:
    """Flush a file to its disk. Raises OSError.

    On macOS fsync leaves data in the memory of the drive, which loses it in a power cut; F_FULLFSYNC does not.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(descriptor, full)
            return
        except OSError as error:  # drives on the network do not have it
            if error.errno not in _UNSUPPORTED | {errno.ENOTTY}:
                raise
    os.fsync(descriptor)


def sync_directory(path: str | Path) -> None:
    """Flush a directory's list of names to disk, on file systems that have this.

    Others (some network and user-space ones) write names by themselves, in their order, or promise nothing at all.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits. Raises OSError, also for what is no file."""
    digest = hashlib.sha256()
    with open_regular(path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


class DirectoryBusy(Exception):
    """Another process holds the directory; `holder` is its process id, as far as it is known."""

    def __init__(self, directory: Path, holder: str) -> None:
        super().__init__(f"{directory} is in use by another process (id {holder})")
        self.directory = directory
        self.holder = holder


@contextmanager
def held_directory(path: str | Path, *, tidy: bool = False) -> Iterator[None]:
    """Hold a directory for one process; it is created when missing. tidy: removed again if nothing was written there.

    The lock is the kernel's (`flock`): it ends with the process, however that ends, so that a lock left behind by a
    killed process blocks nobody. Raises DirectoryBusy when another process holds it, OSError when it cannot be written,
    and TrmError where the file system has no locks, unless TRM_NO_LOCK is set: then nothing keeps a second one away.
    """
    directory = Path(path)
    remove = tidy and not exists(directory)
    descriptor = _open_lock(directory)
    try:
        # Only for the message of others; the lock does not depend on it.
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        if remove:
            _remove_unused(descriptor, directory)
        os.close(descriptor)


def _open_lock(directory: Path) -> int:
    """Lock the directory's file and return its descriptor."""
    for tries_left in reversed(range(_TRIES)):
        try:
            directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)  # less the umask
            try:
                _lock(descriptor, directory)
                if _is_locked_by(descriptor, directory):
                    return os.dup(descriptor)  # the same lock
            finally:
                os.close(descriptor)
        except FileNotFoundError:  # removed in between by who held it, see `_remove_unused`
            if not tries_left:
                raise
    raise DirectoryBusy(directory, "unknown")


def _is_locked_by(descriptor: int, directory: Path) -> bool:
    """Whether the file that is open is the lock of the directory, and not a removed one."""
    return os.path.samestat(os.fstat(descriptor), (directory / LOCK_NAME).stat())


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise DirectoryBusy(directory, holder) from error
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        if os.environ.get(NO_LOCK, "") in ("", "0"):
            raise TrmError(
                f"{directory} cannot be locked against a second process: its file system has no locks "
                f"({error.strerror})",
                hint=f"choose a folder on another disk; or, where no second process uses it, set {NO_LOCK}=1",
            ) from error


def _remove_unused(descriptor: int, directory: Path) -> None:
    """Remove a directory that holds nothing but this process's lock: the work was refused."""
    with suppress(OSError):
        if [path.name for path in directory.iterdir()] == [LOCK_NAME] and _is_locked_by(descriptor, directory):
            (directory / LOCK_NAME).unlink()
            directory.rmdir()


@contextmanager
def claimed_directory(
    path: str | Path, work: str, *, error: type[TrmError], busy_hint: str, disk_hint: str
) -> Iterator[None]:
    """Hold a directory for `work` ("the dataset is being built"). Raises `error` where another process does that work
    there, or where the directory cannot be written.
    """
    with ExitStack() as held:
        try:
            held.enter_context(held_directory(path))
        except DirectoryBusy as reason:
            raise error(f"{work} by another process (id {reason.holder})", hint=busy_hint) from reason
        except OSError as reason:
            raise error(f"cannot write to {path}: {reason.strerror}", hint=disk_hint) from reason
        yield


def locked_directory(path: str | Path) -> AbstractContextManager[None]:
    """Hold a directory for one builder. Raises DatasetError when another process builds it or it cannot be written."""
    return claimed_directory(
        path,
        f"{path} is being built",
        error=DatasetError,
        busy_hint="wait for it to end, stop it, or choose another --output-dir",
        disk_hint="choose another --output-dir",
    )
