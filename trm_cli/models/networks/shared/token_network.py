"""Define the network of all token families: embeddings, heads, halting and losses around a family's recursion.

State dict, names that never change: `embed_tokens` [V, D], `lm_head` [V, D], `q_head.weight` [2, D], `q_head.bias` [2],
`embed_positions` [L, D] (learned positions only), `puzzle_embedding.weight` [N, E] (with puzzle tokens only), one
initial state [D] per carried state (`H_init`, `L_init`, `L1_init` ...), and the stacks of the family
(`L_level.layers.{i}.qkv|out|token_gate_up|token_down|gate_up|down|neighbours`, `H_level.layers...`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm_cli.models.cost import Component, Measured
from trm_cli.models.layers.block import BlockStyle
from trm_cli.models.layers.board import board_relations, board_side
from trm_cli.models.layers.initialization import embedding_parameter, linear_parameter, truncated_normal_
from trm_cli.models.layers.rotary import Rope, board_rope_tables, rope_tables
from trm_cli.models.layers.stack import Stack
from trm_cli.models.network import Batch, Network, StepClock
from trm_cli.models.networks.shared import token_cost, winner
from trm_cli.models.networks.shared.chance import Chance, disturbed
from trm_cli.models.networks.shared.q_head import QHead
from trm_cli.models.networks.shared.token_config import TokenConfig
from trm_cli.models.networks.shared.token_reader import CausalParts, TokenReader
from trm_cli.models.supervision import losses
from trm_cli.models.supervision.carry import Carry, empty_carry, refresh
from trm_cli.models.supervision.halting import decide_halt
from trm_cli.models.supervision.outputs import Outputs, StepResult
from trm_cli.models.text_reader import TextReader
from trm_cli.schedule.clock import SETTLED

States = dict[str, Tensor]

# Keeps the variance of a sum of two embeddings.
_POSITION_SCALE = 0.707106781


class TokenNetwork(Network):
    """The network of a family of `networks/`: built from its configuration in the published order of random draws.

    Batch: `inputs` int32 [B, S], `labels` int32 [B, S] (-100: ignored), `puzzle_identifiers` int32 [B].
    """

    config: TokenConfig
    label_field = "labels"

    def __init__(
        self, config: TokenConfig, *, vocab_size: int, seq_len: int, num_puzzle_identifiers: int, forward_dtype: str
    ) -> None:
        super().__init__(config, vocab_size=vocab_size, seq_len=seq_len, forward_dtype=forward_dtype)
        width = config.hidden_size
        self.embed_tokens = embedding_parameter(vocab_size, width)
        self.lm_head = linear_parameter(vocab_size, width)
        self.q_head = QHead(width)
        self.puzzle_embedding = self.new_puzzle_table(num_puzzle_identifiers)
        self.embed_positions: nn.Parameter | None = None
        if config.pos_encodings == "learned":
            self.embed_positions = embedding_parameter(self.positions, width)
        rope = self._rope() if config.mixing == "attention" else None
        relations = None
        if config.mixing == "neighbours":
            board_side(seq_len, "neighbours")
        if config.pos_encodings == "board":
            relations = board_relations(seq_len, config.box, config.puzzle_tokens)
        # Functions of the configuration, not state: left out of the state dict.
        self.rope_cos: Tensor | None
        self.rope_sin: Tensor | None
        self.register_buffer("rope_cos", None if rope is None else rope.cos, persistent=False)
        self.register_buffer("rope_sin", None if rope is None else rope.sin, persistent=False)
        for name, depth in config.stacks.items():
            self.add_module(
                name,
                Stack(
                    depth=depth,
                    hidden_size=width,
                    num_heads=config.num_heads,
                    expansion=config.expansion,
                    length=self.positions,
                    mixing=config.mixing,
                    causal=config.predicts_next_token,
                    style=BlockStyle(config.pre_norm, config.gate_norm, relations),
                ),
            )
        for name in config.states:
            # Drawn in float32 whatever the activation type, so that one seed gives one network at every precision.
            self.register_buffer(_initial_name(name), truncated_normal_(torch.empty(width), std=1.0))

    def _rope(self) -> Rope | None:
        """The rotation of queries and keys at each position, where positions are made known so."""
        config = self.config
        exact = torch.float64 if self.dtype == torch.float64 else torch.float32
        head = config.hidden_size // config.num_heads
        if config.pos_encodings == "rope":
            return rope_tables(self.positions, head, config.rope_theta, exact)
        if config.pos_encodings == "rope_2d":
            return board_rope_tables(self.seq_len, config.puzzle_tokens, head, config.rope_theta, exact)
        return None

    @property
    def draws_per_row(self) -> int:  # type: ignore[override]  # follows from the configuration
        """See `Network`."""
        return sum(Chance.sizes(self.config))

    @property
    def positions(self) -> int:
        """L = puzzle tokens + grid tokens."""
        return self.config.puzzle_tokens + self.seq_len

    def block_matrices(self) -> Iterator[nn.Parameter]:
        """See `Network`."""
        for stack in self.stacks().values():
            yield from stack.matrices()

    def gradient_groups(self) -> dict[str, list[nn.Parameter]]:
        """All of the trunk, as one."""
        return {"trunk": list(self.trunk_parameters())}

    def recompute_activations(self) -> None:
        """See `Network`: here the input of each call of a stack is kept."""
        for stack in self.stacks().values():
            stack.recompute = True

    def compile_stacks(self, **options: Any) -> None:
        """See `Network`."""
        for stack in self.stacks().values():
            stack.compile_compute(**options)

    def stacks(self) -> dict[str, Stack]:
        """The stacks of the family by name."""
        return {name: module for name, module in self.named_children() if isinstance(module, Stack)}

    def initial_carry(self, batch: Batch) -> Carry:
        """See `Network`."""
        inputs = batch["inputs"]
        shape = (inputs.shape[0], self.positions, self.config.hidden_size)
        zeros = torch.zeros(shape, dtype=self.dtype, device=inputs.device)
        carry = empty_carry(batch, {name: zeros.clone() for name in self.config.states})
        if self.config.starts == 1:
            return carry
        return replace(carry, extra={winner.SCRATCH: zeros[:, None].repeat(1, self.config.starts - 1, 1, 1)})

    def advance(
        self,
        carry: Carry,
        batch: Batch,
        clock: StepClock = SETTLED,
        draws: Tensor | None = None,
        layout: None = None,
    ) -> tuple[Carry, Outputs]:
        """See `Network`. No shape follows from the rows."""
        del layout
        carry = refresh(carry, batch, self.initial_states())
        chance = None if draws is None else Chance.of(self.config, draws)
        if chance is not None:
            carry = disturbed(carry, self.config, chance)
        # Weights are cast once, for all calls of the step.
        stacks = {
            name: partial(stack, weights=stack.cast(self.dtype), rope=self.rope)
            for name, stack in self.stacks().items()
        }
        head = self.lm_head.to(self.dtype)
        x = self.embed(carry.data)
        config = self.config.at(clock)
        z, extra, own = carry.z, dict(carry.extra), None
        if chance is not None and config.starts > 1:
            think = partial(config.think, x=x, stacks=stacks, no_grad=torch.no_grad)
            z, own = self._best_start(carry, chance, think, head)
        z = config.think(z, x, stacks, torch.no_grad)
        outputs = self.read(z[config.answer_state], head)
        z = {name: value.detach() for name, value in z.items()}
        if own is not None:
            z["z_L"], extra[winner.SCRATCH] = own[:, 0], own[:, 1:]
        steps = carry.steps + 1
        with torch.no_grad():
            halted = decide_halt(
                steps,
                self.wants_halt(outputs),
                None if chance is None else chance.halting,
                halt_max_steps=config.halt_max_steps,
                exploration_probability=config.halt_exploration_prob,
            )
            if config.learns_to_continue and chance is not None and config.halt_max_steps > 1:
                ahead = self.read(config.think(z, x, stacks, torch.no_grad)[config.answer_state], head)
                outputs = replace(outputs, target_q_continue=_bootstrap(ahead, steps >= config.halt_max_steps))
        return replace(carry, z=z, extra=extra, steps=steps, halted=halted), outputs

    def forward(
        self,
        carry: Carry,
        batch: Batch,
        clock: StepClock = SETTLED,
        draws: Tensor | None = None,
        layout: None = None,
    ) -> StepResult:
        """See `Network`."""
        carry, outputs = self.advance(carry, batch, clock, draws, layout)
        labels = carry.data["labels"]
        loss, terms = losses.step_losses(
            outputs, labels, q_weight=self.config.q_weight, label_smoothing=self.config.label_smoothing
        )
        metrics = losses.step_metrics(outputs, labels, carry.steps, carry.halted)
        return StepResult(carry=carry, loss=loss, terms=terms, metrics={"halted": metrics}, outputs=outputs)

    def answer(self, outputs: Outputs) -> Tensor:
        """See `Network`."""
        return outputs.logits.argmax(-1)

    def wants_halt(self, outputs: Outputs) -> Tensor:
        """Where q_halt is above q_continue, or above 0: bool [B]."""
        threshold = outputs.q_continue if self.config.learns_to_continue else torch.zeros_like(outputs.q_halt)
        return outputs.q_halt > threshold

    def initial_states(self) -> States:
        """See `Network`."""
        return {name: self.get_buffer(_initial_name(name)) for name in self.config.states}

    def label_nats(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """See `Network`: the distribution is the stablemax."""
        return losses.stablemax_cross_entropy(outputs.logits, labels)

    def text_reader(self, window: int, steps: int | None = None) -> TextReader:
        """See `Network`."""
        if not self.config.predicts_next_token:
            return super().text_reader(window, steps)
        parts = CausalParts(
            config=self.config,
            tokens=self.seq_len,
            embed=self.embed,
            start=self.initial_states(),
            blocks={name: stack.cast(self.dtype) for name, stack in self.stacks().items()},
            rope=self.rope,
            head=self.lm_head.to(self.dtype),
        )
        return TokenReader(parts, window, steps or self.halt_max_steps)

    def blank_batch(self, rows: int, device: torch.device | str) -> dict[str, Tensor]:
        """See `Network`."""
        tokens = torch.zeros(rows, self.seq_len, dtype=torch.int32, device=device)
        return {"inputs": tokens, "labels": tokens, "puzzle_identifiers": tokens.new_zeros(rows)}

    def components(self, measured: Measured, rows: int) -> list[Component]:
        """See `Network`."""
        return token_cost.components(self, list(self.config.stacks), measured, rows)

    # --- Parts ---

    @property
    def rope(self) -> Rope | None:
        """The rotation tables, or None."""
        if self.rope_cos is None or self.rope_sin is None:
            return None
        return Rope(self.rope_cos, self.rope_sin)

    def embed(self, data: Mapping[str, Tensor]) -> Tensor:
        """X [B, L, D]: puzzle tokens then grid tokens, scaled by sqrt(D).

        Tables are read in float32 and the result is cast: the gradients of many equal tokens then add up in float32.
        """
        x = F.embedding(data["inputs"], self.embed_tokens).to(self.dtype)
        if self.puzzle_embedding is not None:
            row = self.puzzle_embedding(data["puzzle_identifiers"]).to(self.dtype)
            tokens, width = self.config.puzzle_tokens, self.config.hidden_size
            # Only the first numbers are learned; the tokens that zeros fill are room to think in.
            prefix = F.pad(row, (0, tokens * width - row.shape[1])).view(-1, tokens, width)
            x = torch.cat((prefix, x), dim=1)
        if self.embed_positions is not None:
            x = _POSITION_SCALE * (x + self.embed_positions.to(self.dtype))
        return math.sqrt(self.config.hidden_size) * x

    def _best_start(
        self, carry: Carry, chance: Chance, think: Callable[[States], States], head: Tensor
    ) -> tuple[States, Tensor]:
        """The states of each row from which its answer becomes best, and what all its scratch states become."""
        labels, initial = carry.data["labels"], self.initial_states()["z_L"]

        def loss(z: States) -> Tensor:
            outputs = self.read(z[self.config.answer_state], head)
            return losses.per_row_mean(self.label_nats(outputs, labels), labels)

        scratch = winner.redrawn(carry.z["z_L"], carry.extra[winner.SCRATCH], initial, carry.steps == 0, chance.starts)
        return winner.choose(carry.z, scratch, think, loss)

    def read(self, z: Tensor, head: Tensor) -> Outputs:
        """Heads on the answer state [B, L, D]: tokens after the prefix by `head` [V, D]; halting where all is seen."""
        logits = F.linear(z, head)[:, self.config.puzzle_tokens :]
        q_halt, q_continue = self.q_head(self._overview(z))
        return Outputs(logits=logits, q_halt=q_halt, q_continue=q_continue)

    def _overview(self, z: Tensor) -> Tensor:
        """What halting is read from, [B, D]: a position that sees all others, or the mean where none does."""
        if self.config.mixing == "neighbours":
            return z.mean(1)
        return z[:, -1 if self.config.predicts_next_token else 0]


def _bootstrap(ahead: Outputs, last: Tensor) -> Tensor:
    """Value of continuing, [B]: the better of both choices one step ahead; after the last step only halting is left."""
    best = torch.where(last, ahead.q_halt, torch.maximum(ahead.q_halt, ahead.q_continue))
    return torch.sigmoid(best)


def _initial_name(state: str) -> str:
    return state.removeprefix("z_") + "_init"
