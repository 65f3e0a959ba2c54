"""Find the files of a source: where they lie, or their copy where the source is an address such as `s3://bucket/x.csv`.

A copy is made once for each version of the source, in the folder of TRM_CACHE. Standard library only, until an address
is opened.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

from trm_cli.addresses import cache_folder, is_address, last_name, short_digest
from trm_cli.data.files.durable import sync_directory
from trm_cli.data.files.remote import RemoteFolder
from trm_cli.errors import DatasetError
from trm_cli.paths import exists
from trm_cli.units import disk_size


def source_path(text: str) -> Path:
    """The path of a source: its copy on this machine for an address, else the text itself. Raises TrmError."""
    return _copy(text.rstrip("/")) if is_address(text) else Path(text)


@cache
def _copy(address: str) -> Path:
    """Copy a source, unless this version of it was copied before. Raises TrmError."""
    remote = RemoteFolder.open(address)
    files = remote.listing()
    if not files:
        raise DatasetError(f"{address} does not exist", hint="check the address, and the rights to list it")
    version = short_digest("\n".join([address, *(f"{name}\0{remote.state(name)}" for name in sorted(files))]))
    folder = cache_folder() / "sources" / version
    if not exists(folder):
        print(f"copying {address} ({disk_size(sum(files.values()))}) to {folder}", file=sys.stderr, flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{version}."))
        try:
            for name in sorted(files):
                remote.get(name, partial / last_name(address) / name)
            # Whole or not at all; where another process was faster, its copy is the same.
            if not exists(folder):
                partial.replace(folder)
                sync_directory(folder.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder / last_name(address)
