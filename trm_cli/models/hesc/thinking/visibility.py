"""Who may see whom: tokens, the slots of the workspace, thoughts and demonstrations.

Slots stand in the order [registers | capsules | children of capsule 0, of capsule 1, ...], followed by what stays
as it is: demonstrations, and thoughts. In a text every slot has an end: it knows the places before its end and nothing
else, by any path, since a slot sees only slots that end no later and a place sees only slots that have ended.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.models.hesc.thinking.symbols import Tokens, child_stretch

#: Of a slot that knows the whole text: no place comes after it.
_NEVER = 1 << 30


class Visibility(NamedTuple):
    """Masks, True where one may look.

    slots bool [B, 1, S, S + P]: slots at slots and demonstrations; reading bool [B or 1, 1, K + K m, 1 + N]: capsules
    and children at nothing and at tokens; tokens bool [B, 1, 1 or N, N + S + P + T]: tokens at tokens, slots,
    demonstrations and thoughts; thoughts bool [B, 1, 1, S]: thoughts at slots.
    """

    slots: Tensor
    reading: Tensor
    tokens: Tensor
    thoughts: Tensor


def visibility(config: HescConfig, tokens: Tokens, opened: Tensor, pairs: Tensor, window: int) -> Visibility:
    """All masks of b rows of one kind.

    opened bool [b, K]: whose children may be seen; pairs bool [b, P]: slots of demonstrations that exist; window:
    places of a text.
    """
    children = config.children_per_capsule if config.enable_expansion else 0
    exists = torch.cat(
        (
            opened.new_ones(len(opened), config.num_registers + config.num_capsules),
            opened.repeat_interleave(children, 1) if children else opened[:, :0],
        ),
        1,
    )
    paths = config.latent_planning_paths if config.enable_latent_planning else 0
    standing = torch.cat((exists, pairs), 1)
    everything = torch.cat((standing, opened.new_ones(len(opened), paths)), 1)
    reading = _reading(config, tokens.parts)
    if tokens.kind == Kind.TEXT:
        ends = _ends(config, window, paths, pairs.shape[1], opened.device)
        own, upto = ends[: config.num_slots], standing.shape[1]
        thinking = own <= _thinking_end(config, window)
        places = torch.arange(tokens.injection.shape[1], device=ends.device)
        earlier = places[:, None] >= places
        seen = (ends <= places[:, None] + 1) & everything[:, None]
        return Visibility(
            slots=((ends[:upto] <= own[:, None]) & standing[:, None])[:, None],
            reading=reading,
            tokens=torch.cat((earlier.expand(len(opened), -1, -1), seen), 2)[:, None],
            thoughts=(exists & thinking)[:, None, None],
        )
    inside = opened.new_ones(len(opened), tokens.injection.shape[1]) if tokens.inside is None else tokens.inside
    return Visibility(
        slots=standing[:, None, None],
        reading=reading,
        tokens=torch.cat((inside, everything), 1)[:, None, None],
        thoughts=exists[:, None, None],
    )


def _reading(config: HescConfig, parts: Tensor) -> Tensor:
    """Parts [B or 1, N] -> what capsules and children read: bool [B or 1, 1, K (1 + m), 1 + N]. All may see nothing."""
    m, count = config.children_per_capsule, config.num_capsules
    capsule = torch.where(parts < 0, -1, parts // m)[:, None] == torch.arange(count, device=parts.device)[:, None]
    masks = [capsule]
    if config.enable_expansion:
        masks.append(parts[:, None] == torch.arange(count * m, device=parts.device)[:, None])
    return torch.nn.functional.pad(torch.cat(masks, 1), (1, 0), value=True)[:, None]


def _thinking_end(config: HescConfig, window: int) -> int:
    """Thoughts about a text know its first half: the capsules that end there, rounded down."""
    return capsule_length(config, window) * (config.num_capsules // 2)


def capsule_length(config: HescConfig, window: int) -> int:
    """Places of a text of so many that a capsule reads: its children have equal parts of them."""
    return config.children_per_capsule * child_stretch(config, window)


def _ends(config: HescConfig, window: int, paths: int, pair_slots: int, device: torch.device) -> Tensor:
    """The place of a text before which slot, demonstration or thought knows what it knows: int64 [S + P + T]."""
    m, count = config.children_per_capsule, config.num_capsules
    stretch = child_stretch(config, window)
    parts = torch.arange(count, device=device)
    ends = [torch.full((config.num_registers,), _NEVER, device=device), (parts + 1) * m * stretch]
    if config.enable_expansion:
        ends.append((torch.arange(count * m, device=device) + 1) * stretch)
    ends.append(torch.zeros(pair_slots, dtype=torch.int64, device=device))
    ends.append(torch.full((paths,), _thinking_end(config, window), device=device))
    return torch.cat(ends)
