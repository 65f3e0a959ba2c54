"""What the shapes of a pass follow from: which rows are of which kind, and how much of boards and texts is computed.

It is asked of the rows themselves where they are in host memory (`layout_of`). Rows of a device are described before
they are sent there (`outline`), and the host finds the same (`layout_from`): nothing then waits for an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.models.hesc import kinds
from trm_cli.models.hesc.boards import asked_side, needed_side, needed_sides, side_of
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.kinds import FIELDS, Kind
from trm_cli.models.layers.losses import IGNORED_LABEL


class Group(NamedTuple):
    """Rows int64 [b] of one kind. size: the side that boards are cut to, the places of a text that are computed, 0 for
    pictures. done: the rows say again what they said."""

    kind: Kind
    rows: Tensor
    size: int
    done: bool


class Layout(NamedTuple):
    """groups: all rows of a batch [B], kind by kind. pairs int64 [w]: the demonstrations, of [B * k], that are read
    anew, on boards of `pair_side`."""

    groups: tuple[Group, ...]
    pairs: Tensor
    pair_side: int


def layout_of(data: Mapping[str, Tensor], fresh: Tensor, done: Tensor) -> Layout:
    """The layout of rows that were taken in just now where `fresh` bool [B], and are done where `done` bool [B].

    Asks the rows. On the meta device, where nothing can be asked, everything is computed whole.
    """
    groups = tuple(_groups(data, done))
    if "pair_cells" not in data:
        return Layout(groups, fresh.new_zeros(0, dtype=torch.int64), 1)
    boards, sizes = data["pair_cells"].flatten(0, 1), data["pair_size"].flatten(0, 1)
    if boards.is_meta:
        return Layout(groups, torch.arange(len(boards), device=boards.device), side_of(boards))
    pairs = (fresh.repeat_interleave(data["pair_size"].shape[1]) & (sizes.sum(1) > 0)).nonzero()[:, 0]
    return Layout(groups, pairs, needed_side((boards[pairs] > 0).any(1)) if len(pairs) else 1)


def _groups(data: Mapping[str, Tensor], done: Tensor) -> Iterator[Group]:
    for kind, rows in kinds.groups(data):
        if kind == Kind.TEXT and not rows.is_meta:
            still = done[rows]
            if bool(still.any()):
                yield Group(kind, rows[still], data["text"].shape[1], done=True)
                rows = rows[~still]
        if len(rows):
            yield Group(kind, rows, _size(kind, data, rows), done=False)


def _size(kind: Kind, data: Mapping[str, Tensor], rows: Tensor) -> int:
    if kind == Kind.PICTURE:
        return 0
    symbols = data[FIELDS[kind]][rows]
    target = data["target"][rows, : symbols.shape[1]]
    if kind == Kind.GRID:
        return asked_side(symbols, target, IGNORED_LABEL)
    marked = ((symbols > 0) | (target != IGNORED_LABEL)).any(0)
    return symbols.shape[1] if symbols.is_meta else int(marked.nonzero().amax()) + 1 if marked.any() else 1


def outline(data: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a layout follows from, of rows in host memory: kind [B], size [B], pair_sides [B, k], 0 without a pair."""
    kind, size = kinds.normalised(data), torch.zeros(len(data["kind"]), dtype=torch.int64)
    if FIELDS[Kind.GRID] in data:
        cells = data["cells"]
        given, asked = cells > 0, data["target"][:, : cells.shape[1]] != IGNORED_LABEL
        side = needed_sides(given | asked).masked_fill(given.any(1) & ~asked.any(1), side_of(cells))
        size = torch.where(kind == Kind.GRID, side, size)
    if FIELDS[Kind.TEXT] in data:
        text = data["text"]
        marked = (text > 0) | (data["target"][:, : text.shape[1]] != IGNORED_LABEL)
        length = (marked * torch.arange(1, text.shape[1] + 1)).amax(1).clamp_min(1)
        size = torch.where(kind == Kind.TEXT, length, size)
    found = {"kind": kind, "size": size}
    if "pair_cells" in data:
        sides = needed_sides((data["pair_cells"] > 0).any(2))
        found["pair_sides"] = sides.masked_fill(data["pair_size"].sum(-1) == 0, 0)
    return found


def layout_from(config: HescConfig, known: Mapping[str, Tensor], steps: Tensor) -> Layout:
    """The same as `layout_of`, from `outline`: of rows [B] that have done `steps` [B]. Of the host; it waits for no
    device.
    """
    kind, size, groups = known["kind"], known["size"], []
    for one in Kind:
        done = (kind == one) & (steps >= config.text_steps) if one == Kind.TEXT else torch.zeros_like(steps > 0)
        for part, is_done in ((done, True), ((kind == one) & ~done, False)):
            rows = part.nonzero()[:, 0]
            if len(rows):
                groups.append(Group(one, rows, int(size[rows].max()), is_done))
    if "pair_sides" not in known:
        return Layout(tuple(groups), steps.new_zeros(0, dtype=torch.int64), 1)
    sides = known["pair_sides"].masked_fill((steps > 0)[:, None], 0).flatten()
    return Layout(tuple(groups), sides.nonzero()[:, 0], max(1, int(sides.max())))
