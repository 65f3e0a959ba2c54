"""Undo augmentations of ARC grids, one grid at a time."""

from __future__ import annotations

import numpy as np

from trm_cli.data import dihedral
from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.transforms import Transform, augment_grid


def invert_grid(grid: Grid, transform: Transform) -> Grid:
    """Undo `augment_grid`, exactly."""
    turned_back = augment_grid(grid, Transform(dihedral.INVERSE[transform.symmetry]))
    return np.argsort(np.asarray(transform.permutation)).astype(np.uint8)[turned_back]
