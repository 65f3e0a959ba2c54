"""Keep a dataset under an address (`s3://bucket/boards`) and its copy on this machine the same.

A store cannot rename a folder at once, so `manifest.json` says what counts there too: it is written as "building"
before the first file and as complete after the last one, and a copy is taken only of what it says is complete, each
file compared with its checksum.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from trm_cli.addresses import local_location
from trm_cli.data.files.durable import claimed_directory, sha256_file, sync_directory, write_atomically
from trm_cli.data.files.manifest import MANIFEST_NAME, Manifest, check_complete, read_manifest
from trm_cli.data.files.remote import RemoteFolder
from trm_cli.errors import DatasetError
from trm_cli.paths import exists
from trm_cli.units import disk_size

Say = Callable[[str], None]
_ARRIVING = ".arriving"


def fetch(address: str, say: Say) -> bool:
    """Bring the copy of a dataset on this machine up to date; False where the address holds no complete one.

    What arrived before an interruption is not copied again. Raises TrmError.
    """
    remote, folder = RemoteFolder.open(address), Path(local_location(address))
    content = remote.read(MANIFEST_NAME)
    if content is None:
        return False
    with claimed_directory(
        folder,
        f"the copy of {address} in {folder} is being made",
        error=DatasetError,
        busy_hint="wait for it to end",
        disk_hint="name another folder for copies: TRM_CACHE=FOLDER",
    ):
        if _same(folder, content):
            return True
        arriving = folder / _ARRIVING
        arriving.mkdir(exist_ok=True)
        write_atomically(arriving / MANIFEST_NAME, content)
        manifest = _expected(arriving)
        if manifest.state != "complete":
            return False
        say(f"copying {address} ({disk_size(sum(file.size for file in manifest.files.values()))}) to {folder}")
        for name, record in manifest.files.items():
            _get(remote, name, record.sha256, arriving / name)
        _take(folder, arriving, manifest, content)
    return True


def _same(folder: Path, content: bytes) -> bool:
    """Whether the copy is the dataset of this manifest, whole by the sizes of its files."""
    if not exists(folder / MANIFEST_NAME) or (folder / MANIFEST_NAME).read_bytes() != content:
        return False
    try:
        check_complete(folder, _expected(folder))
    except DatasetError:
        return False
    return True


def _expected(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    assert manifest is not None  # written just before, or looked for
    return manifest


def _get(remote: RemoteFolder, name: str, sha256: str, target: Path) -> None:
    if exists(target) and sha256_file(target) == sha256:
        return
    try:
        remote.get(name, target)
    except FileNotFoundError as error:
        raise DatasetError(f"{remote.address}/{name} is missing there", hint="build it again with --rebuild") from error
    if (found := sha256_file(target)) != sha256:
        raise DatasetError(
            f"{remote.address}/{name} is damaged: its SHA-256 begins with {found[:12]}, the manifest says "
            f"{sha256[:12]}",
            hint="the same command fetches it again; `--rebuild` builds the dataset anew",
        )


def _take(folder: Path, arriving: Path, manifest: Manifest, content: bytes) -> None:
    """Put what has arrived in its place, the manifest last."""
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    for name in manifest.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (arriving / name).replace(folder / name)
    for place in {(folder / name).parent for name in manifest.files}:
        sync_directory(place)
    write_atomically(folder / MANIFEST_NAME, content)
    shutil.rmtree(arriving, ignore_errors=True)


def _names(manifest: bytes | None) -> set[str]:
    """The files that the manifest under an address names."""
    with TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST_NAME).write_bytes(manifest or Manifest("", {}, 0, {}, "").to_bytes())
        return set(_expected(Path(folder)).files)


def begin_build(address: str, say: Say, *, rebuild: bool) -> None:
    """Before a build: take over what is complete under the address, refuse what is not ours. Raises TrmError."""
    remote = RemoteFolder.open(address)
    if not rebuild and fetch(address, say):
        return
    if remote.read(MANIFEST_NAME) is None and remote.listing():
        raise DatasetError(
            f"{address} holds files of another program; they are not overwritten", hint="choose another --output-dir"
        )


def end_build(address: str, say: Say) -> None:
    """After a build: send the dataset, if it is complete. Raises TrmError.

    A kill at any instant leaves a manifest that is not complete; the same command sends it again.
    """
    folder = Path(local_location(address))
    manifest = read_manifest(folder)
    if manifest is None or manifest.state != "complete":
        say(f"{address}: its parts lie in {folder} on this machine; --merge, here, joins and sends them")
        return
    remote = RemoteFolder.open(address)
    before = remote.read(MANIFEST_NAME)
    if before == manifest.to_bytes():
        return
    say(f"sending {disk_size(sum(file.size for file in manifest.files.values()))} to {address}")
    remote.write(MANIFEST_NAME, replace(manifest, state="building", files={}, fingerprint=None).to_bytes())
    for name in manifest.files:
        remote.put(folder / name, name)
    for name in _names(before) - manifest.files.keys():
        remote.remove(name)  # of the dataset that was replaced
    remote.write(MANIFEST_NAME, manifest.to_bytes())
    say(f"{address} is complete; its copy on this machine is {folder}")
