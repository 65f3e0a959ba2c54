"""What the shapes of a pass follow from: which rows are of which kind, and how much of boards and texts is computed.

It is read from the rows themselves where they are in host memory (`layout_of`). Rows of a device are described before
they are sent there (`outline`), and the host computes the same layout (`layout_from`) without a device sync.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.rows import kinds
from trm_cli.models.hesc.rows.boards import asked_side, by_size, needed_cells, needed_side, needed_sides, side_of
from trm_cli.models.hesc.rows.kinds import FIELDS, Kind
from trm_cli.models.supervision.losses import IGNORED_LABEL

#: Grids that train on a processor are computed in at most so many groups of similar size, of so many rows at least.
_SIZES, _ROWS_OF_A_SIZE = 3, 8
#: Demonstrations that are read at once where they are read again in the backward pass.
_PAIRS_AT_ONCE = 24


class Extent(Enum):
    """How much is computed. NEEDED: boards and texts are cut to the largest of the batch; WHOLE: nothing is cut, so
    that shapes differ in their number of rows alone; STEPS: and that is a multiple of a quarter of the batch."""

    NEEDED = 0
    WHOLE = 1
    STEPS = 2


class Group(NamedTuple):
    """Rows int64 [b] of one kind, of which those after the first `real` are there for the shape alone.

    size: the side that boards are cut to, the places of a text that are computed, 0 for pictures. done: the rows say
    again what they said.
    """

    kind: Kind
    rows: Tensor
    real: int
    size: int
    done: bool


class Layout(NamedTuple):
    """groups: all rows of a batch [B], kind by kind. pairs int64 [w]: the demonstrations, of [B * k], that are read
    anew, on boards of `pair_side`; those after the first `real_pairs` are there for the shape alone. packs: cells that
    nothing needs are left out, where nobody waits for their number, nor compiles."""

    groups: tuple[Group, ...]
    pairs: Tensor
    real_pairs: int
    pair_side: int
    packs: bool


def layout_of(
    data: Mapping[str, Tensor], read: Tensor, done: Tensor, extent: Extent, *, grouped: bool = False
) -> Layout:
    """The layout of rows whose demonstrations are read where `read` bool [B], and that are done where `done` bool [B].

    Reads shapes from the rows, which waits for a device. On the meta device, where tensors hold no numbers, everything
    is computed whole. grouped: grids in groups of similar size, where cells are left out.
    """
    packs = _packs(read, extent)
    found = _groups(data, done, extent)
    groups = tuple(part for group in found for part in (_parts(group, data) if grouped and packs else (group,)))
    if "pair_cells" not in data:
        return _with_pairs(groups, read.new_zeros(0, dtype=torch.int64), 0, 1, extent)._replace(packs=packs)
    boards, sizes = data["pair_cells"].flatten(0, 1), data["pair_size"].flatten(0, 1)
    if boards.is_meta:
        pairs = torch.arange(len(boards), device=boards.device)
    else:
        pairs = (read.repeat_interleave(data["pair_size"].shape[1]) & (sizes.sum(1) > 0)).nonzero()[:, 0]
    side = side_of(boards)
    if extent == Extent.NEEDED and not boards.is_meta:
        side = needed_side((boards[pairs] > 0).any(1)) if len(pairs) else 1
    return _with_pairs(groups, pairs, len(boards), side, extent)._replace(packs=packs)


def _packs(rows: Tensor, extent: Extent) -> bool:
    return rows.device.type == "cpu" and extent == Extent.NEEDED


def _parts(group: Group, data: Mapping[str, Tensor]) -> Iterator[Group]:
    """The groups of similar size that a group is computed in."""
    if group.kind != Kind.GRID:
        yield group
        return
    cells, target = data["cells"][group.rows], data["target"][group.rows]
    needed = needed_cells(cells, target[:, : cells.shape[1]], IGNORED_LABEL)
    for part in by_size(needed, _ROWS_OF_A_SIZE, _SIZES):
        yield group._replace(rows=group.rows[part], real=len(part))


def _groups(data: Mapping[str, Tensor], done: Tensor, extent: Extent) -> Iterator[Group]:
    for kind, rows in kinds.groups(data):
        if kind == Kind.TEXT and not rows.is_meta:
            still = done[rows]
            if bool(still.any()):
                yield _group(kind, rows[still], len(done), data["text"].shape[1], Extent.NEEDED, done=True)
                rows = rows[~still]
        if len(rows):
            yield _group(kind, rows, len(done), _size(kind, data, rows, extent), extent, done=False)


def _group(kind: Kind, rows: Tensor, total: int, size: int, extent: Extent, *, done: bool) -> Group:
    return Group(kind, _in_steps(rows, total, extent), len(rows), size, done)


def _with_pairs(groups: tuple[Group, ...], pairs: Tensor, total: int, side: int, extent: Extent) -> Layout:
    return Layout(groups, _in_steps(pairs, total, extent), len(pairs), side, packs=False)


def pair_groups(boards: Tensor, recompute: bool, packs: bool) -> Sequence[Tensor]:
    """Demonstrations uint8 [w, 2, side * side] in groups int64 [...] that are read one after the other."""
    if packs and not recompute:
        return by_size((boards > 0).any(1), _ROWS_OF_A_SIZE, _SIZES)
    # Those that are read again in the backward pass come in parts, each of which is read again by itself.
    at_once, every = _PAIRS_AT_ONCE if recompute else len(boards), torch.arange(len(boards), device=boards.device)
    return [every[first : first + at_once] for first in range(0, len(boards), at_once)]


def question_groups(data: Mapping[str, Tensor], layout: Layout) -> Sequence[Group]:
    """Demonstrations of a layout that are asked, as grids of `data`."""
    count, whole = len(layout.pairs), side_of(data["cells"])
    every = torch.arange(count, device=layout.pairs.device)
    size = min(layout.pair_side + 1, whole)  # an answer ends with the line after it
    group = Group(Kind.GRID, every, layout.real_pairs, size, done=False)
    return tuple(_parts(group, data)) if layout.packs else (group,)


def _in_steps(places: Tensor, total: int, extent: Extent) -> Tensor:
    """Places int64 [b] of `total`; the last one again, up to a multiple of a quarter of them."""
    if extent != Extent.STEPS or not len(places):
        return places
    missing = -len(places) % max(1, -(-total // 4))
    # A tensor of its own whatever is missing: where it is a view now and then, torch compiles a graph for each.
    return torch.cat((places, places[-1:].expand(missing)))


def _size(kind: Kind, data: Mapping[str, Tensor], rows: Tensor, extent: Extent) -> int:
    if kind == Kind.PICTURE:
        return 0
    symbols = data[FIELDS[kind]][rows]
    if extent != Extent.NEEDED:
        return side_of(symbols) if kind == Kind.GRID else symbols.shape[1]
    target = data["target"][rows, : symbols.shape[1]]
    if kind == Kind.GRID:
        return asked_side(symbols, target, IGNORED_LABEL)
    marked = ((symbols > 0) | (target != IGNORED_LABEL)).any(0)
    return symbols.shape[1] if symbols.is_meta else int(marked.nonzero().amax()) + 1 if marked.any() else 1


def outline(data: Mapping[str, Tensor], extent: Extent) -> dict[str, Tensor]:
    """What a layout follows from, of rows in host memory: kind [B], size [B], pair_sides [B, k], 0 without a pair."""
    kind, size = kinds.normalised(data), torch.zeros(len(data["kind"]), dtype=torch.int64)
    whole = extent != Extent.NEEDED
    if FIELDS[Kind.GRID] in data:
        cells = data["cells"]
        given, asked = cells > 0, data["target"][:, : cells.shape[1]] != IGNORED_LABEL
        all_of_it = torch.ones_like(size) > 0 if whole else given.any(1) & ~asked.any(1)
        side = needed_sides(given | asked).masked_fill(all_of_it, side_of(cells))
        size = torch.where(kind == Kind.GRID, side, size)
    if FIELDS[Kind.TEXT] in data:
        text = data["text"]
        marked = (text > 0) | (data["target"][:, : text.shape[1]] != IGNORED_LABEL) | whole
        length = (marked * torch.arange(1, text.shape[1] + 1)).amax(1).clamp_min(1)
        size = torch.where(kind == Kind.TEXT, length, size)
    found = {"kind": kind, "size": size}
    if "pair_cells" in data:
        sides = needed_sides((data["pair_cells"] > 0).any(2) | whole)
        found["pair_sides"] = sides.masked_fill(data["pair_size"].sum(-1) == 0, 0)
    return found


def layout_from(config: HescConfig, known: Mapping[str, Tensor], steps: Tensor, extent: Extent) -> Layout:
    """The same as `layout_of`, from `outline`: of rows [B] that have done `steps` [B]. Of the host; it waits for no
    device.
    """
    kind, size, groups = known["kind"], known["size"], []
    for one in Kind:
        done = (kind == one) & (steps >= config.text_steps) if one == Kind.TEXT else torch.zeros_like(steps > 0)
        for part, is_done in ((done, True), ((kind == one) & ~done, False)):
            rows = part.nonzero()[:, 0]
            if len(rows):
                as_far = Extent.NEEDED if is_done else extent
                groups.append(_group(one, rows, len(steps), int(size[rows].max()), as_far, done=is_done))
    if "pair_sides" not in known:
        return _with_pairs(tuple(groups), steps.new_zeros(0, dtype=torch.int64), 0, 1, extent)
    sides = known["pair_sides"].flatten()
    if not config.pair_cells:
        sides = known["pair_sides"].masked_fill((steps > 0)[:, None], 0).flatten()
    return _with_pairs(tuple(groups), sides.nonzero()[:, 0], len(sides), max(1, int(sides.max())), extent)
