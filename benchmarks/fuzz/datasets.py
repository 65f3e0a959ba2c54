"""Damage files of a small dataset at random and open it: every outcome must be a working dataset or one clear error.

    python -m benchmarks.fuzz.datasets --stream DIR --count 500

Each case damages one file, half of them with the manifest made to agree, and then does what commands do: plan, open,
draw every evaluation row and some updates, inspect, show samples. A traceback or a case of over ten seconds is a fault.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trm_cli.data.files.durable import sha256_file
from trm_cli.data.files.manifest import MANIFEST_NAME
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.files.puzzle_arrays import write_split
from trm_cli.data.inspection import inspect
from trm_cli.data.opening import open_data
from trm_cli.data.puzzles.dataset import BatchOrder
from trm_cli.data.samples import read_samples
from trm_cli.data.stream.storage.plan import facts_on_board
from trm_cli.errors import TrmError

Damage = Callable[[Path, random.Random], None]
SECONDS = 10.0
_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2.5, 10**12, 10**30, -(10**12), 1e308),
    *("", "x", "../x", "\x1b[2J", [], [1], [[]], {}, {"a": 1}),
)
_ODD_HEADERS = (
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 16), }",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 99999999999), }",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (40, 16",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (40, 16), }",
    b"{'descr': '|u1', 'fortran_order': True, 'shape': (40, 16), }",
    b"[" * 3000,
)


@dataclass(frozen=True)
class Fault:
    """A case that ended otherwise than it should."""

    number: int
    damage: str
    what: str


def damage_and_open(source: Path, number: int, *, board_side: int | None = None) -> tuple[str, Fault | None]:
    """Make case `number` of a dataset; returns how it ended ("whole", or the error's class) and the fault, if one."""
    chance = random.Random(number)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(source, Path(folder) / "data"))
        files = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
        path = chance.choice(files)
        damage = chance.choice(_damages(path))
        name = f"{damage.__name__} of {path.relative_to(root)}"
        damage(path, chance)
        if chance.random() < 0.5 and path.name != MANIFEST_NAME:
            name += ", manifest made to agree"
            _reseal(root, path)
        started, ended, fault = time.monotonic(), "whole", None
        try:
            _use(root, board_side)
        except TrmError as error:
            ended = f"{type(error).__name__}, exit code {int(error.exit_code)}"
        except Exception:  # noqa: BLE001  # this is what is looked for
            ended = "traceback"
            fault = Fault(number, name, traceback.format_exc(limit=-4))
        seconds = time.monotonic() - started
        if seconds > SECONDS:
            fault = Fault(number, name, f"{seconds:.0f} s")
        return ended, fault


def _use(root: Path, board_side: int | None) -> None:
    facts_on_board([root], board_side)
    for split in ("train", "test"):
        data = open_data([root], split, board_side=board_side)
        for _ in data.eval_batches(64, limit=20):
            pass
        for step in range(1, 4):
            data.train_batch(step, BatchOrder(16, 2), 0)
    inspect(root)
    read_samples(root, "test", 3)


def _damages(path: Path) -> list[Damage]:
    common: list[Damage] = [_flip, _cut, _extend, _empty, _zeros]
    if path.suffix == ".json":
        return [_odd_value] * 8 + common
    return (
        [_odd_header, _odd_array, _odd_array, *common] if path.suffix == ".npy" else [_odd_shard, _odd_shard, *common]
    )


def _flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def _cut(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def _extend(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes() + chance.randbytes(chance.randrange(1, 5000)))


def _empty(path: Path, chance: random.Random) -> None:  # noqa: ARG001
    path.write_bytes(b"")


def _zeros(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = chance.randrange(len(content))
    content[start:] = bytes(len(content) - start)
    path.write_bytes(content)


def _odd_value(path: Path, chance: random.Random) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    places = list(_places(document))
    holder, key = chance.choice(places)
    if isinstance(holder, dict) and chance.random() < 0.2:
        del holder[key]
    else:
        holder[key] = chance.choice(_ODD_VALUES)
    path.write_text(json.dumps(document), encoding="utf-8")


def _places(document: Any) -> Any:
    """Every (holder, key) of a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _odd_header(path: Path, chance: random.Random) -> None:
    header = chance.choice(_ODD_HEADERS)
    body = path.read_bytes()[128:]
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body)


def _odd_array(path: Path, chance: random.Random) -> None:
    values = np.load(path).astype(np.int64)
    values.reshape(-1)[chance.randrange(values.size)] = chance.choice([-1, -100, 7, 100, 5])
    values = values.astype(chance.choice([np.int64, np.int8, np.uint32, np.float32]))
    if chance.random() < 0.3:
        values = values[: chance.randrange(len(values) + 1)]
    np.save(path, values)


def _odd_shard(path: Path, chance: random.Random) -> None:
    """A shard with the right checksum and other content."""
    import torch

    from trm_cli.data.stream.storage import shards

    tensors = torch.load(path, weights_only=True)
    name = chance.choice([key for key, value in tensors.items() if key != "checksum" and value.numel()])
    values = tensors[name].reshape(-1)
    values[chance.randrange(len(values))] = chance.choice([0, 1, 3, 9, 10, 100, 127])
    path.write_bytes(shards.to_bytes({key: value.numpy() for key, value in tensors.items() if key != "checksum"}))


def _reseal(root: Path, path: Path) -> None:
    manifest = root / MANIFEST_NAME
    if not manifest.is_file():
        return
    document = json.loads(manifest.read_text(encoding="utf-8"))
    name = path.relative_to(root).as_posix()
    if name in document["files"]:
        document["files"][name] = {"size": path.stat().st_size, "sha256": sha256_file(path)}
        manifest.write_text(json.dumps(document), encoding="utf-8")


def write_puzzles(root: Path) -> Path:
    """A small Sudoku dataset with a manifest, augmented while it is drawn, with an identifier for every puzzle."""
    from trm_cli.data.files.manifest import Manifest, seal

    random_numbers, names = np.random.default_rng(0), []
    for split, count in (("train", 40), ("test", 16)):
        metadata = DatasetMetadata(
            ignore_label_id=-100, vocab_size=6, seq_len=16, num_puzzle_identifiers=count + 1, total_groups=count,
            total_puzzles=count, kind="sudoku",
            augmentation={"kind": "sudoku", "box": [2, 2], "count": 10, "seed": 0} if split == "train" else None,
        )  # fmt: skip
        cells = random_numbers.integers(1, 6, (count, 16), dtype=np.uint8)
        arrays = {
            "inputs": cells,
            "labels": np.maximum(cells, 2),
            "puzzle_identifiers": np.arange(1, count + 1, dtype=np.int32),
            "puzzle_indices": np.arange(count + 1, dtype=np.int32),
            "group_indices": np.arange(count + 1, dtype=np.int32),
        }
        names += write_split(root, split, metadata, arrays)
    seal(root, Manifest("fuzz", {}, 0, {"sources": [{"name": "made up"}]}, "none"), names, {})
    return root


def main() -> None:
    """Run the cases and print how they ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--stream", type=Path, help="a small stream dataset; half of the cases damage a copy of it")
    options = parser.parse_args()
    ends: Counter[str] = Counter()
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        puzzles = write_puzzles(Path(folder) / "puzzles")
        for number in range(options.first, options.first + options.count):
            stream = options.stream is not None and number % 2
            ended, fault = damage_and_open(
                options.stream if stream else puzzles, number, board_side=12 if stream else None
            )
            ends[ended] += 1
            if fault is not None:
                faults.append(fault)
                print(f"case {fault.number}: {fault.damage}\n{fault.what}")
    print(dict(ends))
    print(f"{len(faults)} faults in {options.count} cases")


if __name__ == "__main__":
    main()
