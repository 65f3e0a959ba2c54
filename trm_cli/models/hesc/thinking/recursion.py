"""The recursion: the workspace reads the tokens, thoughts follow, then the tokens look at all of it; again and again.

z_H is the workspace and z_L the tokens: H_cycles times (z_H once, then z_L L_cycles times), the last with a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.models.hesc.thinking.blocks import Linear, TokenBlock
from trm_cli.models.hesc.thinking.planner import LatentPlanner, Plan
from trm_cli.models.hesc.thinking.symbols import Tokens
from trm_cli.models.hesc.thinking.visibility import Visibility
from trm_cli.models.hesc.thinking.workspace import Looked, Workspace
from trm_cli.models.layers.initialization import truncated_normal_
from trm_cli.models.layers.norm import rms_norm
from trm_cli.models.layers.stack import recomputed

#: Of the queries and keys of boards: the nearer to 0, the later a place in another frame is found.
_BOARD_LEAN = 1.0


class TokenStack(nn.Module):
    """`h <- h + injection`, then the blocks: the function that is applied again and again."""

    def __init__(self, config: HescConfig, layers: int, *, causal: bool) -> None:
        super().__init__()
        lean, compares = 0.0 if causal else _BOARD_LEAN, config.pair_cells and not causal
        self.blocks = nn.ModuleList(
            TokenBlock(
                config.token_size, config.num_heads, config.expansion, causal=causal, lean=lean, compares=compares
            )
            for _ in range(layers)
        )

    def forward(
        self,
        h: Tensor,
        tokens: Tokens,
        slots: Tensor,
        mask: Tensor | None,
        told: tuple[Tensor, Tensor] | None = None,
        *,
        tells: bool = False,
    ) -> Tensor:
        """H [B, N, d], slots [B, S, d], mask bool [B, 1, 1 or N, N + S] -> [B, N, d].

        told: what demonstrations tell all blocks [B, M, C], and what of it there is, bool [B, M]. tells: the result is
        [B, N, d + C], followed by what these tokens tell themselves.
        """
        h, said = h + tokens.injection, []
        parts = [None] * len(self.blocks) if told is None else told[0].chunk(len(self.blocks), -1)
        for block, part in zip(self.blocks, parts, strict=True):
            if tells:
                assert isinstance(block, TokenBlock)
                said.append(block.tell(h))
            own = None if told is None else (part, told[1][:, None, None])
            h = block(h, tokens.rotation, slots, mask, tokens.inside, tokens.packed, own)
        return torch.cat((h, *said), -1) if tells else h


class States(NamedTuple):
    """tokens [B, N, d]; slots [B, S, D]."""

    tokens: Tensor
    slots: Tensor


class Thought(NamedTuple):
    """What the last cycle said: the states, what the workspace saw in the tokens before them, and the plan; None where
    there is none."""

    states: States
    looked: Looked | None
    plan: Plan | None


class Recursion(nn.Module):
    """Alternates between workspace and tokens, over rows of one kind."""

    token_start: Tensor

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        self.H_cycles, self.L_cycles = config.H_cycles, config.L_cycles
        self.text_workspace = config.text_workspace
        #: Trade a second forward pass of each call with a gradient for the memory of its activations.
        self.recompute = False
        self.workspace = Workspace(config)
        self.planner = LatentPlanner(config) if config.enable_latent_planning else None
        self.to_tokens = Linear(config.hidden_size, config.token_size)
        self.board = TokenStack(config, config.L_layers, causal=False)
        self.text = TokenStack(config, config.text_layers, causal=True)
        self.register_buffer("token_start", truncated_normal_(torch.empty(config.token_size), 0.1))

    def pass_over(
        self, h: Tensor, tokens: Tokens, slots: Tensor, mask: Tensor | None, told: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """One pass over the tokens: h [B, N, d], slots [B, S, d] -> [B, N, d]. told: by demonstrations."""
        stack = self.text if tokens.kind == Kind.TEXT else self.board
        result: Tensor = self._call(stack, h, tokens, slots, mask, told)
        return result

    def pass_over_pairs(self, tokens: Tokens, *, tells: bool, recompute: bool) -> Tensor:
        """One pass over demonstrations, which see themselves alone: [B, N, d]; of those that tell [B, N, d + C]."""
        assert tokens.inside is not None
        h = self.token_start.to(tokens.injection.dtype).expand_as(tokens.injection)
        mask = tokens.inside[:, None, None]
        result: Tensor = self._call(self.board, h, tokens, h[:, :0], mask, tells=tells, recompute=recompute)
        return result

    def _call(self, stack: nn.Module, *arguments: Any, recompute: bool = False, **options: bool) -> Any:
        if (self.recompute or recompute) and torch.is_grad_enabled():
            # The backward pass runs after the call that lent the weights in another type: it has to be given them.
            call: Callable[..., Any] = functional_call
            return recomputed(call, stack, dict(stack.named_parameters()), arguments, options)
        return stack(*arguments, **options)

    def _cycle(
        self,
        states: States,
        tokens: Tokens,
        injection: Tensor,
        pairs: Tensor,
        told: tuple[Tensor, Tensor] | None,
        seen: Visibility,
        draw: Tensor | None,
    ) -> Thought:
        if tokens.kind == Kind.TEXT and not self.text_workspace:
            h, nothing = states.tokens, states.tokens[:, :0]
            for _ in range(self.L_cycles):
                h = self.pass_over(h, tokens, nothing, None)
            return Thought(States(h, states.slots), None, None)
        read = rms_norm(states.tokens + tokens.injection)
        looked: Looked = self._call(self.workspace, states.slots, injection, read, pairs, seen.reading, seen.slots)
        shown, plan = [looked.slots, pairs], None
        if self.planner is not None:
            plan = self.planner(looked.slots, seen.thoughts, draw)
            shown.append(plan.slots)
        slots = self.to_tokens(torch.cat(shown, 1))
        h = states.tokens
        for _ in range(self.L_cycles):
            if tokens.kind != Kind.TEXT:
                # Every place knows which puzzle is asked about; a place of a text must not know what register 0 knows.
                h = h + slots[:, :1]
            h = self.pass_over(h, tokens, slots, seen.tokens, told)
        return Thought(States(h, looked.slots), looked, plan)

    def forward(
        self,
        states: States,
        tokens: Tokens,
        injection: Tensor,
        pairs: Tensor,
        told: tuple[Tensor, Tensor] | None,
        seen: Visibility,
        draw: Tensor | None,
    ) -> Thought:
        """States of rows of one kind; injection [B, S, D] of the workspace; pairs [B, P, D] of demonstrations, told: by
        their cells; draw [B] or None."""
        with torch.no_grad():
            for _ in range(self.H_cycles - 1):
                states = self._cycle(states, tokens, injection, pairs, told, seen, draw).states
        return self._cycle(states, tokens, injection, pairs, told, seen, draw)
