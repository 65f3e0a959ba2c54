"""scikit-learn's digits in their official halves, and pictures drawn from the first by small changes of shape."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.hesc_card.sources.examples import Examples, picture_examples
from trm_cli.data.stream.dataset import StreamDataset

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]
#: Pixels beyond the border that a changed picture may come from.
_BORDER = 2


def digits() -> tuple[tuple[Pictures, Labels], tuple[Pictures, Labels]]:
    """Pictures [N, 8, 8] of 0..240 and labels: the 898 that train and the 899 that test, in their order."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pictures, labels = (found.images * 15).astype(np.uint8), found.target.astype(np.int64)
    half = len(pictures) // 2
    return (pictures[:half], labels[:half]), (pictures[half:], labels[half:])


def augmented(pictures: Pictures, labels: Labels, copies: int, seed: int) -> tuple[Pictures, Labels]:
    """The pictures and `copies` of each: turned by up to 12 degrees, scaled and sheared by up to 12 %, shifted by up to
    one pixel, bent by up to half a pixel, and 10 % lighter or darker."""
    chance = np.random.default_rng(seed)
    drawn = [pictures, *(np.stack([_changed(one, chance) for one in pictures]) for _ in range(copies))]
    return np.concatenate(drawn), np.tile(labels, copies + 1)


def _changed(picture: Pictures, chance: np.random.Generator) -> Pictures:
    side = len(picture)
    line = np.arange(side) - (side - 1) / 2
    row, column = np.meshgrid(line, line, indexing="ij")
    turn, shear = chance.uniform(-0.21, 0.21), chance.uniform(-0.12, 0.12)
    scale_row, scale_column = chance.uniform(0.88, 1.12, 2)
    shift = chance.uniform(-1, 1, 2)
    # A wave along the other axis bends strokes.
    bends = [
        chance.uniform(-0.5, 0.5) * np.sin(axis * chance.uniform(0.4, 1.2) + chance.uniform(0, 6.3))
        for axis in (column, row)
    ]
    source_row = (np.cos(turn) * row + np.sin(turn) * column) * scale_row + shear * column + shift[0] + bends[0]
    source_column = (np.cos(turn) * column - np.sin(turn) * row) * scale_column + shift[1] + bends[1]
    found = _sampled(picture, source_row + (side - 1) / 2, source_column + (side - 1) / 2)
    return (found * chance.uniform(0.9, 1.1)).clip(0, 255).astype(np.uint8)


def _sampled(picture: Pictures, row: NDArray[np.floating], column: NDArray[np.floating]) -> NDArray[np.floating]:
    """Between four pixels, black outside."""
    padded = np.pad(picture.astype(np.float64), _BORDER)
    last = len(padded) - 1.001
    row, column = (row + _BORDER).clip(0, last), (column + _BORDER).clip(0, last)
    top, left = row.astype(np.int64), column.astype(np.int64)
    down, right = row - top, column - left
    upper = padded[top, left] * (1 - right) + padded[top, left + 1] * right
    lower = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
    found: NDArray[np.floating] = upper * (1 - down) + lower * down
    return found


def write_pictures(folder: Path, pictures: Pictures, labels: Labels) -> None:
    """Write pictures as PNG, in one folder a class."""
    from PIL import Image

    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / str(label) / f"{number:06}.png")


@dataclass(frozen=True)
class Digits:
    """scikit-learn's digits, official halves. part: what of the first half trains, the rest is to choose by; None: all
    of it. copies: of each picture, drawn anew by small turns, scales, shifts and bends."""

    part: int | None
    copies: int

    def source(self, folder: Path) -> list[str]:
        """Write the pictures; flags of the builder."""
        (pictures, labels), _ = digits()
        pictures, labels = augmented(pictures[: self.part], labels[: self.part], self.copies, seed=0)
        write_pictures(folder, pictures, labels)
        return ["--sources", f"images:{folder}", "--picture-channels", "1", "--picture-side", "8"]

    def examples(self, dataset: StreamDataset) -> tuple[Examples, Examples]:
        """Those to choose by (of what trains, where all trains), and the held-out half."""
        (pictures, labels), held_out = digits()
        rest = slice(self.part or 800, None)
        return _laid(dataset, pictures[rest], labels[rest]), _laid(dataset, *held_out)


def _laid(dataset: StreamDataset, pictures: Pictures, labels: Labels) -> Examples:
    return picture_examples(dataset.shape, pictures, labels.tolist())
