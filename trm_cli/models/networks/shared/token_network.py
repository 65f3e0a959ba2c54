"""Define the network of all token families: embeddings, heads, halting and losses around a family's recursion.

State dict, names that never change: `embed_tokens` [V, D], `lm_head` [V, D], `q_head.weight` [2, D], `q_head.bias` [2],
`embed_positions` [L, D] (learned positions only), `puzzle_embedding.weight` [N, E] (with puzzle tokens only), one
initial state [D] per carried state (`H_init`, `L_init`, `L1_init` ...), and the stacks of the family
(`L_level.layers.{i}.qkv|out|token_gate_up|token_down|gate_up|down`, `H_level.layers...`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm_cli.models.cost import PUZZLE_TABLE, Component, Measured
from trm_cli.models.layers import losses
from trm_cli.models.layers.carry import Carry, empty_carry, refresh
from trm_cli.models.layers.halting import decide_halt
from trm_cli.models.layers.initialization import embedding_parameter, linear_parameter, truncated_normal_
from trm_cli.models.layers.outputs import Outputs, StepResult
from trm_cli.models.layers.rotary import Rope, rope_tables
from trm_cli.models.layers.stack import Stack
from trm_cli.models.network import Batch, Network, StepClock
from trm_cli.models.networks.shared.token_config import TokenConfig
from trm_cli.models.networks.shared.token_reader import TokenReader
from trm_cli.models.numerics import widen
from trm_cli.models.text_reader import TextReader
from trm_cli.schedule.clock import SETTLED

States = dict[str, Tensor]

# Halting and continuing start at sigmoid(-5), so that early training uses every step.
_Q_BIAS = -5.0
# Keeps the variance of a sum of two embeddings.
_POSITION_SCALE = 0.707106781


_STACKS = {"L_level": "stack", "H_level": "slow stack"}
_HEADS = "heads"
_COMPONENT_OF = {
    "embed_tokens": "embeddings",
    "embed_positions": "embeddings",
    "lm_head": _HEADS,
    "q_head": _HEADS,
    "puzzle_embedding": PUZZLE_TABLE,
}


class QHead(nn.Module):
    """Two values per row from one token: halt and continue. Starts at weight 0, bias -5."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        # Drawn and thrown away, as the published initialisation does: the layers after it depend on the generator.
        self.weight = linear_parameter(2, hidden_size)
        self.bias = nn.Parameter(torch.full((2,), _Q_BIAS))
        with torch.no_grad():
            self.weight.zero_()

    def forward(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """Token [B, D] of any type -> (q_halt, q_continue), float32 [B] each."""
        q_halt, q_continue = F.linear(widen(token), self.weight, self.bias).unbind(-1)
        return q_halt, q_continue


class TokenNetwork(Network):
    """The network of a family of `networks/`: built from its configuration in the published order of random draws.

    Batch: `inputs` int32 [B, S], `labels` int32 [B, S] (-100: ignored), `puzzle_identifiers` int32 [B].
    """

    config: TokenConfig
    label_field = "labels"
    draws_per_row = 2  # explore or not, and how long

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
        rope = None
        if config.pos_encodings == "rope" and not config.mixes_by_mlp:
            exact = torch.float64 if self.dtype == torch.float64 else torch.float32
            rope = rope_tables(self.positions, width // config.num_heads, config.rope_theta, exact)
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
                    mlp_t=config.mixes_by_mlp,
                    causal=config.predicts_next_token,
                ),
            )
        for name in config.states:
            # Drawn in float32 whatever the activation type, so that one seed gives one network at every precision.
            self.register_buffer(_initial_name(name), truncated_normal_(torch.empty(width), std=1.0))

    @property
    def positions(self) -> int:
        """L = puzzle tokens + grid tokens."""
        return self.config.puzzle_tokens + self.seq_len

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
        return empty_carry(
            batch, {name: torch.zeros(shape, dtype=self.dtype, device=inputs.device) for name in self.config.states}
        )

    def advance(
        self,
        carry: Carry,
        batch: Batch,
        clock: StepClock = SETTLED,
        draws: Tensor | None = None,
        layout: None = None,
    ) -> tuple[Carry, Outputs]:
        """See `Network`. Nothing here is scheduled, and no shape follows from the rows."""
        del clock, layout
        carry = refresh(carry, batch, self.initial_states())
        # Weights are cast once, for all calls of the step.
        stacks = {
            name: partial(stack, weights=stack.cast(self.dtype), rope=self.rope)
            for name, stack in self.stacks().items()
        }
        head = self.lm_head.to(self.dtype)
        x = self.embed(carry.data)
        config = self.config
        z = config.think(carry.z, x, stacks, torch.no_grad)
        outputs = self.read(z[config.answer_state], head)
        z = {name: value.detach() for name, value in z.items()}
        steps = carry.steps + 1
        with torch.no_grad():
            halted = decide_halt(
                steps,
                self.wants_halt(outputs),
                draws,
                halt_max_steps=self.halt_max_steps,
                exploration_probability=config.halt_exploration_prob,
            )
            if config.learns_to_continue and draws is not None and self.halt_max_steps > 1:
                ahead = self.read(config.think(z, x, stacks, torch.no_grad)[config.answer_state], head)
                outputs = replace(outputs, target_q_continue=_bootstrap(ahead, steps >= self.halt_max_steps))
        return replace(carry, z=z, steps=steps, halted=halted), outputs

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
        loss, terms = losses.step_losses(outputs, labels)
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
        """See `Network`: the law is the stablemax."""
        return losses.stablemax_cross_entropy(outputs.logits, labels)

    def text_reader(self, window: int, steps: int | None = None) -> TextReader:
        """See `Network`."""
        if not self.config.predicts_next_token:
            return super().text_reader(window, steps)
        return TokenReader(self, window, steps or self.halt_max_steps)

    def blank_batch(self, rows: int, device: torch.device | str) -> dict[str, Tensor]:
        """See `Network`."""
        tokens = torch.zeros(rows, self.seq_len, dtype=torch.int32, device=device)
        return {"inputs": tokens, "labels": tokens, "puzzle_identifiers": tokens.new_zeros(rows)}

    def components(self, measured: Measured, rows: int) -> list[Component]:
        """See `Network`."""
        names = [*(name for name in _STACKS if name in self.config.stacks), *self.config.stacks]
        stacks = {name: _STACKS.get(name, name) for name in names}
        counts: dict[str, int] = dict.fromkeys((PUZZLE_TABLE, "embeddings", *stacks.values(), _HEADS), 0)
        for name, parameter in self.named_parameters():
            counts[(_COMPONENT_OF | stacks)[name.partition(".")[0]]] += parameter.numel()
        forward = {part: measured.modules.get(module, 0) // rows for module, part in stacks.items()}
        forward[_HEADS] = measured.forward // rows - sum(forward.values())
        # What is no stack runs once, with its gradient; the stacks share the rest by their forward passes.
        backward = measured.update // rows - measured.forward // rows - 2 * forward[_HEADS]
        passes = sum(forward[part] for part in stacks.values())
        training = {part: forward[part] + backward * forward[part] // passes for part in stacks.values()}
        training[_HEADS] = 3 * forward[_HEADS]
        return [
            Component(name, count, forward.get(name, 0), training.get(name, 0))
            for name, count in counts.items()
            if count
        ]

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

    def read(self, z: Tensor, head: Tensor) -> Outputs:
        """Heads on the answer state [B, L, D]: tokens after the prefix by `head` [V, D]; halting where all is seen."""
        logits = F.linear(z, head)[:, self.config.puzzle_tokens :]
        q_halt, q_continue = self.q_head(z[:, -1 if self.config.predicts_next_token else 0])
        return Outputs(logits=logits, q_halt=q_halt, q_continue=q_continue)


def _bootstrap(ahead: Outputs, last: Tensor) -> Tensor:
    """Value of continuing, [B]: the better of both choices one step ahead; after the last step only halting is left."""
    best = torch.where(last, ahead.q_halt, torch.maximum(ahead.q_halt, ahead.q_continue))
    return torch.sigmoid(best)


def _initial_name(state: str) -> str:
    return state.removeprefix("z_") + "_init"
