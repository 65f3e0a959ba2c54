"""Find where two results differ: folders, checkpoints, arrays, documents.

Every function returns the names of what differs; nothing differs where it returns none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors import safe_open

#: Names of values that may differ between two trees that do the same, each with its reason.
EXCEPTIONS = {
    "*seconds*": "a time",
    "*.samples_per_second": "a time",
    "*.modified": "a time",
    "*.saved_at": "a time",
    "run.json.run": "drawn for each run",
    "*.metadata.run": "drawn for each run",
    "*.pt.run": "drawn for each run",
    "json.checkpoint.sha256": "the checksum of a file that names its run",
    "json.key": "made of that checksum",
    "*.memory": "an estimate",
    "*.memory.*": "an estimate",
    "*memory.json*": "an estimate",
    "*.started_in": "the directory of the tree",
    "*.profile": "a key of later trees",
    "*.log_level": "a key of later trees",
    "*.eval_batch_size": "a key of later trees",
    "*.init_from": "a key of later trees",
    "*.test_rows": "a key of later trees",
    "*.sources.*": "the line of a file, which keys of later trees have moved",
    "*.verdicts.*": "an estimate",
    "*.advice.reason": "words",
    "*.findings.*.means": "words",
    "*.findings.*.found": "words",
    "*.bytes": "the size of a file that holds the configuration, and with it those keys",
}
#: Files that are not compared, each with its reason.
UNCOMPARED = {
    "*.lock": "names a process",
    "timings.jsonl": "times",
    "memory.json": "an estimate",
}


def paths(old: Path, new: Path, name: str) -> Iterator[str]:
    """Compare two files, or all files of two folders; links by the name that they point to."""
    if not old.is_dir() and not new.is_dir():
        yield from _files(old, new, name)
        return
    names = {str(path.relative_to(root)) for root in (old, new) for path in root.rglob("*") if not path.is_dir()}
    for file in sorted(names):
        if not any(fnmatch(file, pattern) for pattern in UNCOMPARED):
            yield from _files(old / file, new / file, file)


def _files(old: Path, new: Path, name: str) -> Iterator[str]:
    """Compare two files: by their bytes, and where those differ, by what they hold."""
    if not (old.exists() and new.exists()):
        if old.exists() or new.exists():
            yield f"{name} only in the {'old' if old.exists() else 'new'}"
    elif old.is_symlink() and new.is_symlink():
        if old.readlink().name != new.readlink().name:
            yield f"{name} -> {old.readlink().name} | {new.readlink().name}"
    elif old.read_bytes() != new.read_bytes():
        read = READERS.get(old.suffix)
        if read is None:
            yield f"{name} (bytes)"
        else:
            yield from values(read(old), read(new), name)


def values(old: Any, new: Any, name: str) -> Iterator[str]:
    """Compare two values and all that they hold, but for EXCEPTIONS."""
    if any(fnmatch(name, pattern) for pattern in EXCEPTIONS):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys(), key=str):
            if key in old and key in new:
                yield from values(old[key], new[key], f"{name}.{key}")
            elif not any(fnmatch(f"{name}.{key}", pattern) for pattern in EXCEPTIONS):
                yield f"{name}.{key} only in the {'old' if key in old else 'new'}"
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from values(*pair, f"{name}.{index}")
    elif isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor):
        if old.dtype != new.dtype or old.shape != new.shape:
            yield f"{name}: {old.dtype} {list(old.shape)} | {new.dtype} {list(new.shape)}"
        elif not torch.equal(_bits(old), _bits(new)):
            yield f"{name}: other bits, by {(old.double() - new.double()).abs().max().item():.2g} at most"
    elif isinstance(old, str) and isinstance(new, str):
        if _without_paths(old) != _without_paths(new):
            yield f"{name}: {old!r} | {new!r}"
    elif type(old) is not type(new) or not (old == new or (old != old and new != new)):
        yield f"{name}: {old!r} | {new!r}"


def documents(old: str, new: str) -> Iterator[str]:
    """Compare what two commands printed with `--json`."""
    try:
        yield from values(json.loads(old), json.loads(new), "json")
    except json.JSONDecodeError as error:
        yield f"not a JSON document: {error}"


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's bytes, so that NaN equals NaN and 0.0 differs from -0.0."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _without_paths(text: str) -> str:
    """A text with the folders of each tree taken out."""
    return re.sub(r"(?<![\w.])/[^\s'\"\],:]*/", "", text)


def _checkpoint(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def _arrays(path: Path) -> dict[str, torch.Tensor]:
    with np.load(path) as stored:
        return {name: _tensor(stored[name]) for name in stored.files}


def _tensor(array: np.ndarray) -> Any:
    return torch.from_numpy(array) if array.dtype.kind in "bifu" else array.tolist()


def _weights(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        # Where the configuration goes along, it is the text of a YAML file.
        written = {"config": yaml.safe_load(metadata.get("config", ""))}
        return {"metadata": metadata | written} | {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


READERS = {
    ".pt": _checkpoint,
    ".npz": _arrays,
    ".safetensors": _weights,
    ".json": lambda path: json.loads(path.read_text()),
    ".jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
    ".yaml": lambda path: yaml.safe_load(path.read_text()),
}
