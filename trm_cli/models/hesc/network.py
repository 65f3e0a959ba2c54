"""Run the differentiable parts in one pass: symbols -> tokens and workspace -> recursion -> answers, kind by kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_map_only

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.multi_token_prediction import FurtherTokens
from trm_cli.models.hesc.passes import FORBIDDEN, DemonstrationPass, KindPass, NetworkInputs, NetworkPass, gathered
from trm_cli.models.hesc.rows import kinds
from trm_cli.models.hesc.rows.boards import Packed, cut, cut_states, needed_cells, packed, side_of, whole
from trm_cli.models.hesc.rows.colours import colour_order
from trm_cli.models.hesc.rows.kinds import EOS, FIRST_BYTE, Kind
from trm_cli.models.hesc.rows.layout import Extent, Group, Layout, layout_of, pair_groups, question_groups
from trm_cli.models.hesc.rows.questions import questions
from trm_cli.models.hesc.thinking.blocks import Linear
from trm_cli.models.hesc.thinking.demonstrations import PairReader, pair_cells
from trm_cli.models.hesc.thinking.recursion import Recursion, States
from trm_cli.models.hesc.thinking.symbols import Symbols, Tokens
from trm_cli.models.hesc.thinking.visibility import visibility
from trm_cli.models.hesc.thinking.workspace import Looked, Lost
from trm_cli.models.kernels.compiling import compiled
from trm_cli.models.layers.norm import rms_norm
from trm_cli.models.supervision.losses import IGNORED_LABEL

_HALT_BIAS = -5.0
#: The fields that are read of the rows of a kind, beside the sizes of their demonstrations.
_READ = {Kind.GRID: ("cells", "size", "target"), Kind.TEXT: ("text",), Kind.PICTURE: ("picture",)}


class HescNetwork(nn.Module):
    """The parts and how they are joined. `enable_*` keys leave parts out, parameters and all."""

    def __init__(self, config: HescConfig, vocab_size: int, places: int) -> None:
        """places: of the longest text."""
        super().__init__()
        if vocab_size < kinds.FIRST_LABEL:
            raise ValueError(f"vocab_size is {vocab_size}; colours, bytes and controls need {kinds.FIRST_LABEL}.")
        self.config, self.vocab_size = config, vocab_size
        self.symbols = Symbols(config, vocab_size, places)
        self.recursion = Recursion(config)
        self.pair_reader = PairReader(config)
        self.to_class = Linear(config.hidden_size, config.token_size)
        self.halt_head = Linear(config.hidden_size + config.token_size, 1, bias=_HALT_BIAS, std=0.0)
        self.mtp = FurtherTokens(config) if config.enable_mtp else None
        #: How much is computed of what the rows need.
        self.extent = Extent.NEEDED
        self._passes: dict[Kind, Callable[..., KindPass]] = {}
        self._pair_pass: Callable[..., tuple[Tensor, Tensor, Tensor]] = HescNetwork._read_pairs

    def compile_passes(self, *, graphs: bool = False, **options: Any) -> None:
        """Compile all that is done for a kind of row, and for demonstrations. Boards and texts are computed whole then:
        only how many rows there are changes, and of graphs that in a few steps.
        """
        self.extent = Extent.STEPS if graphs else Extent.WHOLE
        self._passes = {kind: compiled(HescNetwork._one_kind, graphs=graphs, **options) for kind in Kind}
        self._pair_pass = compiled(HescNetwork._read_pairs, graphs=graphs, **options)

    def forward(
        self,
        data: Mapping[str, Tensor],
        inputs: NetworkInputs,
        puzzle: Tensor | None,
        draw: Tensor | None,
        layout: Layout | None = None,
    ) -> NetworkPass:
        """Batch fields [B, ...], inputs of the carry, puzzle rows [B, D] and uniform draws [B], both or None.

        layout: precomputed shapes of these rows; None: shapes are read from the rows.
        """
        if layout is None:
            read = inputs.fresh | self.config.pair_cells
            layout = layout_of(data, read, inputs.done, self.extent, grouped=self.training)
        colours = None
        if self.config.canonical_colours and "pair_cells" in data:
            colours = colour_order(data["pair_cells"], data["pair_size"])
            data = colours.renumbered(data)
        inputs, usual = self.remember(data, inputs, layout), self.recursion.workspace.usual()
        parts = [self._part(group, layout.packs, usual, data, inputs, puzzle, draw) for group in layout.groups]
        if colours is not None:
            parts = [
                part._replace(scores=colours.as_given(part.scores, part.rows)) if part.kind == Kind.GRID else part
                for part in parts
            ]
        asked = None
        if self.training and self.config.demonstration_loss_weight and layout.real_pairs:
            asked = self._ask(data, inputs, layout, usual, puzzle, draw)
        return gathered(parts, inputs, data["target"].shape[1], self.vocab_size, asked)

    def _part(
        self,
        group: Group,
        packs: bool,
        usual: Tensor | None,
        data: Mapping[str, Tensor],
        inputs: NetworkInputs,
        puzzle: Tensor | None,
        draw: Tensor | None,
    ) -> KindPass:
        kind, rows = group.kind, group.rows
        if group.done:
            return self._as_it_was(kind, rows, inputs, data["text"].shape[1])
        fields = {name: data[name][rows] for name in (*_READ[kind], "pair_size") if name in data}
        own = None if puzzle is None else puzzle[rows]
        part: KindPass = self._passes.get(kind, HescNetwork._one_kind)(
            self, kind, group.size, packs, usual, rows, fields, inputs.rows(rows), own, _at(draw, rows)
        )
        return part if group.real == len(rows) else tree_map_only(Tensor, itemgetter(slice(group.real)), part)

    # --- Demonstrations ---

    def remember(self, data: Mapping[str, Tensor], inputs: NetworkInputs, layout: Layout) -> NetworkInputs:
        """Read the demonstrations of a layout: pairs [B, P, D], of which other rows keep theirs, and their cells."""
        if "pair_cells" not in data:
            return inputs
        pairs, wanted, config = inputs.pairs.masked_fill(inputs.fresh[:, None, None], 0.0), layout.pairs, self.config
        if self.extent != Extent.NEEDED and torch.is_grad_enabled():
            pairs.requires_grad_()  # as where some are read anew: a graph for each case would be twice as many
        if not layout.real_pairs:
            return inputs._replace(pairs=pairs)
        each = pairs.unflatten(1, (-1, config.pair_slots)).flatten(0, 1)
        boards, sizes = data["pair_cells"].flatten(0, 1)[wanted], data["pair_size"].flatten(0, 1)[wanted]
        boards = cut(boards, layout.pair_side)
        groups = pair_groups(boards, config.recompute_demonstrations, layout.packs)
        read = [
            self._pair_pass(self, boards[group], sizes[group], _packed_pairs(boards[group], layout.packs))
            for group in groups
        ]
        slots, told, inside = zip(*read, strict=True)
        wanted = wanted[torch.cat(tuple(groups))][: layout.real_pairs]
        found = each.index_copy(0, wanted, torch.cat(slots).to(each.dtype)[: layout.real_pairs])
        cells = pair_cells(told, inside, wanted, data["pair_size"]) if config.pair_cells else None
        return inputs._replace(pairs=found.view_as(pairs), cells=cells)

    def _read_pairs(self, boards: Tensor, sizes: Tensor, some: Packed | None) -> tuple[Tensor, Tensor, Tensor]:
        """Demonstrations uint8 [w, 2, side * side] of the sizes [w, 4], some of their cells -> [w, pair_slots, D], what
        they tell [w, N, C], and which of them there are, bool [w, N]."""
        tokens, config = self.symbols.pairs(boards, sizes, some), self.config
        assert tokens.inside is not None
        h = self.recursion.pass_over_pairs(tokens, tells=config.pair_cells, recompute=config.recompute_demonstrations)
        h, told = h.tensor_split((config.token_size,), -1)
        return self.pair_reader(h, tokens.inside), told, tokens.inside

    def _ask(
        self,
        data: Mapping[str, Tensor],
        inputs: NetworkInputs,
        layout: Layout,
        usual: Tensor | None,
        puzzle: Tensor | None,
        draw: Tensor | None,
    ) -> DemonstrationPass:
        """Ask each demonstration that was read, as a grid that is taken in just now, the others of its row shown."""
        rows, fields = layout.pairs // data["pair_size"].shape[1], questions(data, layout.pairs)
        own, start = inputs.rows(rows), self.recursion.workspace.start
        own = own._replace(
            tokens=self.recursion.token_start.to(own.tokens.dtype).expand_as(own.tokens),
            slots=start.to(own.slots.dtype).expand_as(own.slots),
            opened=torch.zeros_like(own.opened),
            cells=None if own.cells is None else own.cells.without(fields["pair_size"].sum(-1) == 0),
        )
        of_rows = None if puzzle is None else puzzle[rows]
        parts = [
            self._part(group, layout.packs, usual, fields, own, of_rows, _at(draw, rows))
            for group in question_groups(fields, layout)
        ]
        real = layout.real_pairs
        return DemonstrationPass(tuple(parts), fields["target"][:real], rows[:real])

    def _pair_slots(self, data: Mapping[str, Tensor], rows: int, device: torch.device) -> Tensor:
        """Which slots hold a demonstration: bool [b, P]."""
        if "pair_size" not in data:
            return torch.zeros(rows, 0, dtype=torch.bool, device=device)
        return (data["pair_size"].sum(-1) > 0).repeat_interleave(self.config.pair_slots, 1)

    # --- One kind of row ---

    def _one_kind(
        self,
        kind: Kind,
        size: int,
        packs: bool,
        usual: Tensor | None,
        rows: Tensor,
        data: Mapping[str, Tensor],
        inputs: NetworkInputs,
        puzzle: Tensor | None,
        draw: Tensor | None,
    ) -> KindPass:
        tokens, length = self._tokens(kind, size, packs, data)
        board = side_of(data["cells"]) if kind == Kind.GRID else 0
        count = tokens.injection.shape[1]
        before = inputs.tokens[:, : board**2 or count]
        some = None if tokens.packed is None else tokens.packed.on(board)
        if some is not None:
            before = some.take(before)
        elif board:
            before = cut_states(before, math.isqrt(count))
        exists = self._pair_slots(data, len(rows), rows.device)
        seen = visibility(self.config, tokens, inputs.opened, exists, length)
        injection = self.recursion.workspace.injection(kind, puzzle, len(rows))
        states = States(before, inputs.slots)
        told = None
        if kind == Kind.GRID and inputs.cells is not None:
            told = inputs.cells.side_by_side(packs)
        thought = self.recursion(states, tokens, injection, inputs.pairs, told, seen, draw)
        after, slots = thought.states
        maps, lost = self._seen(thought.looked, usual, len(rows), count)
        answers = self._answer_states(after, slots, kind)
        scores = self.scores(answers, kind)
        halting = self.halt_head(torch.cat((slots[:, 0], _mean(after, tokens.inside)), 1))[:, 0].float()
        further: tuple[Tensor, ...] = ()
        if self.mtp is not None and kind == Kind.TEXT and self.training:
            further = tuple(self.scores(h, kind) for h in self.mtp(after, tokens.injection, tokens.rotation))
        return KindPass(
            kind=kind,
            rows=rows,
            tokens=whole(after, board, some),
            slots=slots,
            scores=scores,
            q_halt=halting,
            residual=lost.residual,
            detail=lost.detail,
            maps=whole(maps.mT, board, some).mT,
            plan=thought.plan,
            further=further,
            inside=None if kind == Kind.PICTURE else tokens.inside,
            packed=some,
        )

    def _seen(self, looked: Looked | None, usual: Tensor | None, rows: int, tokens: int) -> tuple[Tensor, Lost]:
        """Where capsules looked, [b, K, N], and what sketches lost. Where the workspace did not look the detail is no
        number, which nobody follows."""
        if looked is not None:
            return looked.read.maps, self.recursion.workspace.lost(looked.read, usual)
        config, device = self.config, self.halt_head.weight.device
        maps = torch.zeros(rows, config.num_capsules, tokens, device=device)
        detail = torch.full((rows, config.num_capsules, config.checksum_dim), torch.nan, device=device)
        return maps, Lost(maps[:, :, 0], detail if config.enable_expansion else None)

    def _as_it_was(self, kind: Kind, rows: Tensor, inputs: NetworkInputs, places: int) -> KindPass:
        """A row that is done says again what it said: its states stay."""
        own = inputs.rows(rows)
        zero = own.tokens.new_zeros(len(rows), dtype=torch.float32)
        residual = zero[:, None].expand(-1, self.config.num_capsules)
        scores = self.scores(own.tokens[:, :places], kind)
        return KindPass(kind, rows, own.tokens, own.slots, scores, zero, residual, None, None, None, (), None)

    def _tokens(self, kind: Kind, size: int, packs: bool, data: Mapping[str, Tensor]) -> tuple[Tokens, int]:
        """The tokens of rows of one kind, cut to `size`, and the places that the whole would have. packs: cells of
        boards that nothing needs are left out."""
        if kind == Kind.TEXT:
            window = data["text"].shape[1]
            return self.symbols.text(data["text"][:, :size], window), window
        if kind == Kind.PICTURE:
            return self.symbols.picture(data["picture"]), self.config.patches
        cells, some = cut(data["cells"], size), None
        count = data["cells"].shape[1]
        if packs:
            some = packed(needed_cells(cells, cut(data["target"][:, :count], size), IGNORED_LABEL))
        return self.symbols.cells(cells, data["size"], some), count

    def _answer_states(self, tokens: Tensor, slots: Tensor, kind: Kind) -> Tensor:
        """What the answers of a kind are read from: [b, N or 1, d] of unit size."""
        if kind != Kind.PICTURE:
            return tokens
        return rms_norm(rms_norm(tokens.mean(1, keepdim=True)) + self.to_class(slots[:, :1]))

    def scores(self, hidden: Tensor, kind: Kind) -> Tensor:
        """[b, T, d] of unit size -> the scores of the words from `kinds.WORDS[kind]`: [b, T, W] float32."""
        first, stop = kinds.WORDS[kind]
        scores = self.symbols.logits(hidden, first, stop)
        if kind != Kind.TEXT:
            return scores
        # What lies between the end mark and the bytes are colours, which no text says.
        ending, _, letters = scores.split((1, FIRST_BYTE - EOS - 1, scores.shape[-1] - (FIRST_BYTE - EOS)), -1)
        colours = functional.pad(ending, (0, FIRST_BYTE - EOS - 1), value=FORBIDDEN)
        return torch.cat((colours, letters), -1)


def _packed_pairs(boards: Tensor, packs: bool) -> Packed | None:
    return packed((boards > 0).any(1)) if packs else None


def _at(draw: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if draw is None else draw[rows]


def _mean(tokens: Tensor, inside: Tensor | None) -> Tensor:
    """The mean of the tokens that hold a symbol: [B, N, d], bool [B, N] or None -> [B, d]."""
    if inside is None:
        return tokens.mean(1)
    weights = inside[..., None].to(tokens.dtype)
    return (tokens * weights).sum(1) / weights.sum(1).clamp_min(1)
