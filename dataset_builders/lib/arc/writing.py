"""Write an ARC plan to disk: tasks once with their augmentation codes, or every augmentation in published arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc import encoding, layout, transforms
from trm_cli.data.arc.identifiers import BLANK_NAME, IDENTIFIERS_NAME, TASKS_FORMAT
from trm_cli.data.arc.layout import CODES_NAME
from trm_cli.data.arc.test_inputs import TESTS_NAME
from trm_cli.data.augmentation.arc import ArcVariants
from trm_cli.data.augmentation.drawing import Draw
from trm_cli.data.building.build_directory import Build
from trm_cli.data.building.builder_cli import Progress, say_complete, split_facts
from trm_cli.data.files.durable import atomic_file, write_atomically
from trm_cli.data.files.metadata import SPLITS
from trm_cli.data.files.puzzle_arrays import array_path, write_npy, write_split

from ..build_parts import Arrays, complete_parts
from ..large_arrays import LargeArray, write_sections
from .plan import ArcPlan
from .selection import Codes, choose_codes
from .tasks import Pair, TaskGrid

_BLOCK_ROWS = 4096
_PART_TASKS = 32
Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class _BaseSplit:
    """The pairs of a split as they are, and who owns them."""

    inputs: NDArray[np.uint8]  # [pairs, S]
    labels: NDArray[np.uint8]  # [pairs, S]
    firsts: Offsets  # [groups] identifier of the plain task
    counts: Offsets  # [groups] augmentations, the plain task included
    starts: Offsets  # [groups + 1] offsets of pairs

    @property
    def row_starts(self) -> Offsets:
        """Offsets of materialised rows: [groups + 1]."""
        return np.concatenate([[0], np.cumsum(self.counts * np.diff(self.starts))])


def write_dataset(build: Build, plan: ArcPlan, seed: int, workers: int) -> None:
    """Write the dataset and seal it; a shard makes its parts of it."""
    # Written out, a row may need the codes of any task: too little work to be shared out.
    everything = range(len(plan.groups))
    chosen = [_choose(plan, seed, everything)] if plan.materialize else _choose_parts(build, plan, seed, workers)
    # Of all identifiers: [identifiers], the blank one first; where a shard chose in parts, of its own alone.
    codes = np.concatenate([np.zeros(1, dtype=np.uint32), *chosen])
    bases = {split: _base_split(plan, split) for split in SPLITS}
    if plan.materialize:
        variants = {
            split: ArcVariants(codes, base.counts, base.starts, seed, split == "train") for split, base in bases.items()
        }
        _write_rows(build, bases, variants, workers)
    if build.shard is not None:
        build.end_shard()
        return
    names = _write_root_files(build.root, plan, codes)
    for split, base in bases.items():
        if plan.materialize:
            names += _write_index(build, plan, base, split)
        else:
            names += _write_tasks(build, plan, base, split, seed)
    build.finish(names, {split: split_facts(plan.metadata(split)) for split in SPLITS})
    say_complete(build.root, {split: len(plan.members(split)) for split in SPLITS}, "tasks")


def _choose_parts(build: Build, plan: ArcPlan, seed: int, workers: int) -> list[Codes]:
    """Augmentation codes, part by part."""
    progress = Progress(len(plan.groups), "tasks")
    firsts = range(0, len(plan.groups), _PART_TASKS)
    items = {f"codes_{a:09d}": range(a, min(a + _PART_TASKS, len(plan.groups))) for a in firsts}

    def make(tasks: range) -> Arrays:
        return {"codes": _choose(plan, seed, tasks)}

    parts = complete_parts(build, items, make, workers, lambda tasks: progress.add(len(tasks)))
    return [part["codes"].astype(np.uint32) for part in parts]


def _choose(plan: ArcPlan, seed: int, tasks: range) -> Codes:
    """Augmentation codes of some tasks, one after the other."""
    return np.concatenate(
        [choose_codes(plan.symmetries[i], plan.counts[i] - 1, seed, plan.groups[i].id) for i in tasks]
    )


def _base_split(plan: ArcPlan, split: str) -> _BaseSplit:
    members = plan.members(split)
    pairs = [pair for index in members for pair in plan.pairs_of(index, split)]
    sizes = [len(plan.pairs_of(index, split)) for index in members]
    return _BaseSplit(
        inputs=encoding.encode_grids([pair.input for pair in pairs], plan.side),
        labels=encoding.encode_grids([pair.output for pair in pairs], plan.side),
        firsts=np.array([plan.firsts[index] for index in members], dtype=np.int64),
        counts=np.array([plan.counts[index] for index in members], dtype=np.int64),
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )


# ---------------------------------------------------------------- tasks stored once


def _write_tasks(build: Build, plan: ArcPlan, base: _BaseSplit, split: str, seed: int) -> list[str]:
    augmentation = {"kind": "arc", "count": max(plan.counts) - 1, "seed": seed, "shift": split == "train"}
    firsts, counts, starts = base.firsts, base.counts, base.starts
    if plan.apart and split == "train":
        firsts, counts = (np.repeat(values, np.diff(starts)) for values in (firsts, counts))
        starts = np.arange(len(firsts) + 1)
    arrays: dict[str, NDArray[np.generic]] = {
        "inputs": base.inputs,
        "labels": base.labels,
        "puzzle_identifiers": firsts.astype(np.int32),
        "puzzle_indices": starts.astype(np.int32),
        "group_indices": np.arange(len(firsts) + 1, dtype=np.int32),
        "variant_counts": counts.astype(np.int32),
    }
    return write_split(build.root, split, plan.metadata(split, augmentation), arrays)


# ---------------------------------------------------------------- every augmentation written out


def _write_rows(build: Build, bases: dict[str, _BaseSplit], variants: dict[str, ArcVariants], workers: int) -> None:
    """Write inputs and labels of both splits, row by row a function of (seed, row): continued where it stopped."""
    progress = Progress(sum(int(base.row_starts[-1]) for base in bases.values()), "examples")
    for split, base in bases.items():
        shape = (int(base.row_starts[-1]), base.inputs.shape[1])
        (build.root / split).mkdir(exist_ok=True)
        inputs = LargeArray(array_path(build.root, split, "inputs"), shape, np.uint8)
        labels = LargeArray(array_path(build.root, split, "labels"), shape, np.uint8)

        def fill(start: int, stop: int, base: _BaseSplit = base, own: ArcVariants = variants[split],
                 inputs: LargeArray = inputs, labels: LargeArray = labels) -> None:  # fmt: skip
            for first in range(start, stop, _BLOCK_ROWS):
                block = _augmented_rows(base, own, first, min(first + _BLOCK_ROWS, stop))
                inputs.write(first, block[0])
                labels.write(first, block[1])

        for rows in write_sections(build, split, (inputs, labels), fill, workers):
            progress.add(rows)


def _augmented_rows(
    base: _BaseSplit, variants: ArcVariants, start: int, stop: int
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Rows start..stop-1 of the published order: by task, then augmentation, then pair."""
    places = np.arange(start, stop)
    puzzles = np.searchsorted(base.row_starts, places, side="right") - 1
    first = base.starts[puzzles]
    variant, within = np.divmod(places - base.row_starts[puzzles], base.starts[puzzles + 1] - first)
    examples = first + within
    draw = Draw(
        base.inputs[examples], base.labels[examples], base.firsts[puzzles], puzzles, examples, variant, 0, None, 0
    )
    inputs, labels, _ = variants.apply(draw)
    return inputs, labels


def _write_index(build: Build, plan: ArcPlan, base: _BaseSplit, split: str) -> list[str]:
    """Write who owns the rows: offsets of puzzles and groups, identifiers, metadata."""
    sizes = np.repeat(np.diff(base.starts), base.counts)
    group_starts = np.concatenate([[0], np.cumsum(base.counts)])
    within = np.arange(group_starts[-1]) - np.repeat(group_starts[:-1], base.counts)
    arrays = {
        "puzzle_identifiers": (np.repeat(base.firsts, base.counts) + within).astype(np.int32),
        "puzzle_indices": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
        "group_indices": group_starts.astype(np.int32),
    }
    return write_split(build.root, split, plan.metadata(split), arrays, written=("inputs", "labels"))


# ---------------------------------------------------------------- files at the root


def _write_root_files(root: Path, plan: ArcPlan, codes: Codes) -> list[str]:
    names = [IDENTIFIERS_NAME, TESTS_NAME]
    tests = {
        group.id: {"train": _pairs_json(group.train), "test": _pairs_json(group.test)}
        for group in plan.groups
        if group.test
    }
    write_atomically(root / TESTS_NAME, json.dumps(tests).encode())
    if plan.materialize:
        _write_names(root / IDENTIFIERS_NAME, plan, codes)
        return names
    tasks = [
        {"id": group.id, "first": first, "count": count}
        for group, first, count in zip(plan.groups, plan.firsts, plan.counts, strict=True)
    ]
    document = {"format": TASKS_FORMAT, "blank": BLANK_NAME, "tasks": tasks}
    write_atomically(root / IDENTIFIERS_NAME, json.dumps(document).encode())
    write_npy(root / CODES_NAME, codes)
    return [*names, CODES_NAME]


def _write_names(path: Path, plan: ArcPlan, codes: Codes) -> None:
    """Write the published form, a list of names; task by task, because it has a million entries."""
    with atomic_file(path) as stream:
        stream.write(f"[{json.dumps(BLANK_NAME)}".encode())
        for group, first, count in zip(plan.groups, plan.firsts, plan.counts, strict=True):
            symmetries, permutations = transforms.decode(codes[first : first + count])
            digits = np.ascontiguousarray(permutations + ord("0")).view(f"S{layout.COLOURS}").ravel()
            names = [group.id] + [
                f"{group.id}{transforms.SEPARATOR}t{symmetry}{transforms.SEPARATOR}{digit.decode()}"
                for symmetry, digit in zip(symmetries[1:].tolist(), digits[1:].tolist(), strict=True)
            ]
            stream.write((", " + json.dumps(names)[1:-1]).encode())
        stream.write(b"]")


def _pairs_json(pairs: tuple[Pair, ...]) -> list[dict[str, list[list[int]]]]:
    return [
        {"input": _grid_json(pair.input), **({"output": _grid_json(pair.output)} if pair.known else {})}
        for pair in pairs
    ]


def _grid_json(grid: TaskGrid) -> list[list[int]]:
    return [list(grid.cells[row * grid.width : (row + 1) * grid.width]) for row in range(grid.height)]
