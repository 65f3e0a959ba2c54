"""What goes into a pass of the network and what comes out of it, of one kind of row and of a whole batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trm_cli.models.hesc.rows import kinds
from trm_cli.models.hesc.rows.boards import Packed, cut, widened
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.models.hesc.thinking.demonstrations import PairCells
from trm_cli.models.hesc.thinking.planner import Plan
from trm_cli.models.supervision.losses import IGNORED_LABEL
from trm_cli.models.supervision.outputs import Outputs

#: Finite, so that a forbidden word costs exp(-1e4) = 0 and its entropy term is 0 * -1e4, not 0 * -inf.
FORBIDDEN = -1.0e4


class NetworkInputs(NamedTuple):
    """What a pass takes from the carry: tokens [B, N, d], slots [B, S, D], pairs [B, P, D], each padded to the longest
    kind; opened bool [B, K]; fresh bool [B]: rows that were taken in just now; done bool [B]: rows that stay as they
    are. cells: of their demonstrations, which were read for this step."""

    tokens: Tensor
    slots: Tensor
    pairs: Tensor
    opened: Tensor
    fresh: Tensor
    done: Tensor
    cells: PairCells | None = None

    def rows(self, rows: Tensor) -> NetworkInputs:
        """Those of an index int64 [b]."""
        found = {name: getattr(self, name)[rows] for name in self._fields[:-1]}
        return NetworkInputs(**found, cells=None if self.cells is None else self.cells.rows(rows))


class KindPass(NamedTuple):
    """The outputs for rows int64 [b] of one kind. tokens [b, N, d], slots [b, S, D]; scores [b, T, W] of the words of
    the kind; q_halt [b]; residual [b, K]; detail [b, K, c]; maps [b, K, N]; further: scores of the words k places
    later; all float32 but for the states. inside bool [b, T]: answer places that hold a symbol, None where all do;
    packed: which cells of their boards the scores are of, None where they are of a square."""

    kind: Kind
    rows: Tensor
    tokens: Tensor
    slots: Tensor
    scores: Tensor
    q_halt: Tensor
    residual: Tensor
    detail: Tensor | None
    maps: Tensor | None
    plan: Plan | None
    further: tuple[Tensor, ...]
    inside: Tensor | None
    packed: Packed | None = None

    def labels(self, target: Tensor) -> Tensor:
        """Target int [B, S] -> the labels of the places of `scores`, counted in words of the kind: int64 [b, T]."""
        own, places = target[self.rows].long(), self.scores.shape[1]
        if self.packed is not None:
            own = self.packed.take(own[:, : self.tokens.shape[1]])
        elif self.kind == Kind.GRID:
            own = cut(own[:, : self.tokens.shape[1]], math.isqrt(places))
        else:
            own = own[:, :places]
        return torch.where(own == IGNORED_LABEL, own, own - kinds.WORDS[self.kind][0])

    def certainty(self) -> Tensor:
        """Mean and least probability of the likeliest words, and mean entropy as a share of the largest: float32
        [b, 3], detached. Of the places that hold a symbol: how many others are computed depends on the batch."""
        log_probs = self.scores.detach().log_softmax(-1)
        sure = log_probs.amax(-1).exp()
        entropy = -(log_probs.exp() * log_probs).sum(-1) / math.log(max(2, log_probs.shape[-1]))
        if self.inside is None:
            return torch.stack((sure.mean(1), sure.amin(1), entropy.mean(1)), 1)
        count = self.inside.sum(1).clamp_min(1)
        means = [(value * self.inside).sum(1) / count for value in (sure, entropy)]
        return torch.stack((means[0], sure.masked_fill(~self.inside, 1.0).amin(1), means[1]), 1)


class DemonstrationPass(NamedTuple):
    """The outputs for demonstrations that were asked, each with the others of its row shown. parts: their answers,
    whose `rows` count demonstrations; target int [w, S]; rows int64 [w]: the row of the batch that each is of."""

    parts: tuple[KindPass, ...]
    target: Tensor
    rows: Tensor


@dataclass(frozen=True)
class NetworkPass:
    """The outputs of a batch; float32 unless noted, with gradients.

    tokens, slots, pairs: the new states, as in `NetworkInputs`; scores [B, S, V], detached: what the softmax of the
    answers is taken of; q_halt [B]; residual [B, K] of the checksums; certainty [B, 3]. parts: the same kind by kind,
    with what only some rows have, and scores with a gradient. asked: demonstrations that were asked in training.
    """

    tokens: Tensor
    slots: Tensor
    pairs: Tensor
    scores: Tensor
    q_halt: Tensor
    residual: Tensor
    certainty: Tensor
    parts: tuple[KindPass, ...]
    asked: DemonstrationPass | None = None

    @property
    def details(self) -> Tensor | None:
        """What the checksums are of, of all rows that have it: [b, K, c]; detached."""
        found = [part.detail for part in self.parts if part.detail is not None]
        return torch.cat(found) if found else None


@dataclass(frozen=True)
class HescOutputs(Outputs):
    """thought: everything the pass said; q float32 [B, 3] or None; action int64 [B]; opened bool [B, K]: the capsules
    whose children were visible in this step; valid bool [B, 3]: the actions that there were."""

    thought: NetworkPass | None = None
    q: Tensor | None = None
    action: Tensor | None = None
    opened: Tensor | None = None
    valid: Tensor | None = None


def gathered(
    parts: Sequence[KindPass],
    inputs: NetworkInputs,
    length: int,
    vocab_size: int,
    asked: DemonstrationPass | None = None,
) -> NetworkPass:
    """Join the kinds: every row at its place, states and scores padded. length: S, places of a label."""
    order = torch.cat([part.rows for part in parts])
    back = None if len(parts) == 1 else order.argsort()

    def joined(values: list[Tensor]) -> Tensor:
        return values[0] if back is None else torch.cat(values)[back]

    def words(part: KindPass) -> Tensor:
        first, stop = kinds.WORDS[part.kind]
        beyond = 0 if stop is None else vocab_size - stop
        scores = part.scores.detach()
        if part.packed is not None:
            scores = part.packed.put(scores, FORBIDDEN)
        elif part.kind == Kind.GRID:
            scores = widened(scores, math.isqrt(part.tokens.shape[1]), FORBIDDEN)
        return functional.pad(scores, (first, beyond, 0, length - scores.shape[1]), value=FORBIDDEN)

    places = inputs.tokens.shape[1]
    return NetworkPass(
        tokens=joined([functional.pad(part.tokens, (0, 0, 0, places - part.tokens.shape[1])) for part in parts]),
        slots=joined([part.slots for part in parts]),
        pairs=inputs.pairs,
        scores=joined([words(part) for part in parts]),
        q_halt=joined([part.q_halt for part in parts]),
        residual=joined([part.residual for part in parts]),
        certainty=joined([part.certainty() for part in parts]),
        parts=tuple(parts),
        asked=asked,
    )
