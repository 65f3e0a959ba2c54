"""Make grids that are asked of demonstrations: training asks them too, each with the others of its row shown.

So an update in which `k` demonstrations of a row are read anyway asks `k + 1` times what their rule is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from trm_cli.models.hesc.rows.boards import answer_labels
from trm_cli.models.hesc.rows.kinds import EOS, FIRST_COLOUR
from trm_cli.models.supervision.losses import IGNORED_LABEL


def questions(data: Mapping[str, Tensor], pairs: Tensor) -> dict[str, Tensor]:
    """The demonstrations int64 [w], of [B * k], as grids: cells uint8 [w, n], size uint8 [w, 4], target int64 [w, n];
    and pair_size uint8 [w, k, 4] of what their rows show, without themselves."""
    count = data["pair_size"].shape[1]
    boards, size = data["pair_cells"].flatten(0, 1)[pairs], data["pair_size"].flatten(0, 1)[pairs]
    itself = torch.arange(count, device=pairs.device) == (pairs % count)[:, None]
    return {
        "cells": boards[:, 0],
        "size": size,
        "target": answer_labels(boards[:, 1], size[:, 2:], EOS, FIRST_COLOUR, IGNORED_LABEL),
        "pair_size": data["pair_size"][pairs // count].masked_fill(itself[..., None], 0),
    }
