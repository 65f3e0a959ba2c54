"""Tell addresses such as `s3://bucket/boards` from paths, and name the folders of their copies on this machine.

Copies lie in the folder of TRM_CACHE (default: ~/.cache/trm). Standard library only; nothing is opened here.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_DIGITS = 16  # of a digest, in the name of a folder


def is_address(text: str) -> bool:
    """Return whether a text is an address that fsspec opens, and not a path of this machine."""
    return "://" in text


def cache_folder() -> Path:
    """The folder for copies of what lies elsewhere."""
    named = os.environ.get("TRM_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trm"


def local_location(text: str) -> str:
    """Where a dataset lies on this machine: the folder of its copy for an address, else the text itself.

    Nobody is asked whether it is there; `trm_cli.data.files.remote_dataset.fetch` brings the copy up to date.
    """
    if not is_address(text):
        return text
    address = text.rstrip("/")
    return str(cache_folder() / "datasets" / f"{last_name(address)}-{short_digest(address)}")


def last_name(address: str) -> str:
    """The last part of an address, as the name of a file or folder."""
    return address.rpartition("/")[2] or "root"


def short_digest(text: str) -> str:
    """A name for a text: the beginning of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
