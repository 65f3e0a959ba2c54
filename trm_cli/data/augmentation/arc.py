"""Augment ARC tasks on the fly: each task is stored once, its variants are computed when a batch is drawn.

Files beside the arrays: `augmentations.npy` at the root, uint32 [identifiers], the code of every identifier (the blank
one has 0), and `all__variant_counts.npy` in a split, int32 [puzzles]. Variant v of a stored puzzle with identifier
i has the identifier i + v; variant 0 is the task itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng, dihedral
from trm_cli.data.arc import encoding, kernels, layout, transforms
from trm_cli.data.arc.layout import CODES_NAME
from trm_cli.data.augmentation.drawing import Draw, Index, IntArray
from trm_cli.data.files.array_file import read_array
from trm_cli.errors import DatasetError

COUNTS_NAME = "all__variant_counts.npy"
_SWAPS = np.array(dihedral.SWAPS_SIDES)


@dataclass(frozen=True)
class ArcVariants:
    """The augmentations of a split. `shift`: move the pairs of a task about, all but one of them (training)."""

    codes: NDArray[np.uint32]  # [identifiers]
    counts: Index  # [puzzles]
    task_starts: Index  # [tasks + 1] offsets of examples
    seed: int
    shift: bool
    tasks: Index | None = None  # [puzzles], where several puzzles are the pairs of one task; None: each is a task

    tokens = layout.VOCAB_SIZE

    @property
    def identifiers(self) -> int:
        """Identifiers that have a code."""
        return len(self.codes)

    def variant_counts(self, puzzles: int) -> Index:
        """Return the number of variants of each stored puzzle, itself included: [puzzles]."""
        if puzzles != len(self.counts):
            raise DatasetError(f"{COUNTS_NAME} speaks of {len(self.counts)} puzzles, the arrays hold {puzzles}")
        return self.counts

    def apply(self, draw: Draw) -> tuple[IntArray, IntArray, Index]:
        """Return inputs [b, S], labels [b, S] and identifiers [b] of the wanted augmentations."""
        identifiers = draw.identifiers + draw.variants
        symmetries, permutations = transforms.decode(self.codes[identifiers])
        stored_inputs = np.ascontiguousarray(draw.inputs, dtype=np.uint8)
        stored_labels = np.ascontiguousarray(draw.labels, dtype=np.uint8)
        offsets = np.zeros((len(identifiers), 2), dtype=np.int64)
        if self.shift:
            sides = np.maximum(encoding.grid_sides(stored_inputs), encoding.grid_sides(stored_labels)).astype(np.int64)
            sides = np.where(_SWAPS[symmetries][:, None], sides[:, ::-1], sides)
            offsets = self._offsets(draw, identifiers, layout.side_of(stored_inputs.shape[1]) + 1 - sides)
        inputs, labels = np.empty_like(stored_inputs), np.empty_like(stored_labels)
        kernels.augment_grids(stored_inputs, symmetries, permutations, offsets, inputs)
        kernels.augment_grids(stored_labels, symmetries, permutations, offsets, labels)
        return inputs, labels, identifiers

    def _offsets(self, draw: Draw, identifiers: Index, places: Index) -> Index:
        """Shifts [b, 2] (down, right) of pairs that fit at `places` [b, 2]; one random pair of a task has none.

        They depend on the dataset's seed, the identifier and the pair, not on the visit: as in the published arrays,
        which hold one shift for each, so that a materialised dataset has the same rows.
        """
        tasks = draw.puzzles if self.tasks is None else self.tasks[draw.puzzles]
        starts = self.task_starts[tasks]
        within = draw.examples - starts
        pairs = self.task_starts[tasks + 1] - starts
        bits = counter_rng.bits(self.seed, "arc/shift", (identifiers, within), 2)
        offsets = counter_rng.scale_bits(bits, places)
        offsets[within == counter_rng.integers(self.seed, "arc/unshifted", identifiers, pairs)] = 0
        return offsets


class ArcAugmentation(ArcVariants):
    """The variants of a split on disk, as `dataset.json` names them: {"kind": "arc", "seed": .., "shift": ..}."""

    def __init__(self, settings: Mapping[str, object], *, seq_len: int, directory: Path) -> None:
        seed, shift = settings["seed"], settings["shift"]
        if not layout.is_canvas(seq_len) or not isinstance(seed, int) or not isinstance(shift, bool):
            raise ValueError(f"expected a square of at most {layout.SEQ_LEN} tokens, a seed and shift true or false")
        first = read_array(directory / "all__puzzle_identifiers.npy", 1).astype(np.int64)
        starts = read_array(directory / "all__puzzle_indices.npy", 1).astype(np.int64)
        begins = np.flatnonzero(np.diff(first, prepend=-1))  # the first puzzle of each task
        super().__init__(
            codes=read_array(directory.parent / CODES_NAME, 1).astype(np.uint32),
            counts=read_array(directory / COUNTS_NAME, 1).astype(np.int64),
            task_starts=np.append(starts[begins], starts[-1]),
            seed=seed,
            shift=shift,
            tasks=np.cumsum(np.diff(first, prepend=-1) != 0) - 1,
        )
        if len(first) != len(self.counts) or int((first + self.counts).max(initial=0)) > len(self.codes):
            raise ValueError(f"{CODES_NAME} has {len(self.codes)} entries, too few for the identifiers of the puzzles")
        if int(self.codes.max(initial=0)) >= transforms.CODES:
            raise ValueError(f"{CODES_NAME} holds a code that stands for no augmentation")
