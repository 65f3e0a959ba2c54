"""What all token-puzzle networks share: embeddings, heads, halting, losses. A family adds how it thinks.

State dict, names that never change: `embed_tokens` [V, D], `lm_head` [V, D], `q_head.weight` [2, D], `q_head.bias` [2],
`embed_positions` [L, D] (learned positions only), `puzzle_embedding.weight` [N, E] (with puzzle tokens only), one
initial state [D] per carried state (`H_init`, `L_init`, `L1_init` ...), and the stacks of the family
(`L_level.layers.{i}.qkv|out|token_gate_up|token_down|gate_up|down`, `H_level.layers...`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm_cli.models.all_rows import AllRows
from trm_cli.models.layers import losses
from trm_cli.models.layers.block import BlockWeights
from trm_cli.models.layers.carry import Carry, empty_carry, refresh
from trm_cli.models.layers.halting import decide_halt
from trm_cli.models.layers.initialization import embedding_parameter, linear_parameter, truncated_normal_
from trm_cli.models.layers.outputs import Outputs, StepResult
from trm_cli.models.layers.rotary import Rope, rope_tables
from trm_cli.models.layers.stack import Stack
from trm_cli.models.numerics import forward_dtype_named, widen
from trm_cli.schedule.clock import SETTLED, Clock

Weights = dict[str, tuple[BlockWeights, ...]]
States = dict[str, Tensor]

# Halting and continuing start at sigmoid(-5), so that early training uses every step.
_Q_BIAS = -5.0
# Keeps the variance of a sum of two embeddings.
_POSITION_SCALE = 0.707106781


@dataclass(frozen=True)
class PuzzleModelSettings:
    """The settings that do not depend on the family; see the architecture files for what each one means."""

    vocab_size: int
    seq_len: int
    num_puzzle_identifiers: int
    hidden_size: int
    num_heads: int
    expansion: float
    mlp_t: bool
    pos_encodings: str
    rope_theta: float
    halt_max_steps: int
    halt_exploration_prob: float
    puzzle_emb_ndim: int
    puzzle_emb_len: int
    learns_to_continue: bool
    forward_dtype: str
    causal: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "seq_len", "hidden_size", "num_heads", "halt_max_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.pos_encodings not in ("rope", "learned", "none"):
            raise ValueError(f"pos_encodings must be rope, learned or none, not {self.pos_encodings!r}.")
        if not 0 <= self.halt_exploration_prob <= 1:
            raise ValueError(f"halt_exploration_prob must lie in [0, 1], not {self.halt_exploration_prob}.")
        if self.causal and self.mlp_t:
            raise ValueError("causal needs attention: an MLP over the positions (mlp_t) sees all of them.")
        if self.puzzle_emb_ndim < 0 or self.puzzle_emb_len < 0:
            raise ValueError("puzzle_emb_ndim and puzzle_emb_len must not be negative.")
        if self.puzzle_tokens * self.hidden_size < self.puzzle_emb_ndim:
            raise ValueError(
                f"puzzle_emb_len {self.puzzle_emb_len} tokens of {self.hidden_size} cannot hold puzzle_emb_ndim "
                f"{self.puzzle_emb_ndim} numbers; {-(-self.puzzle_emb_ndim // self.hidden_size)} tokens can."
            )

    @property
    def puzzle_tokens(self) -> int:
        """P, the tokens before the grid: 0 without a table; puzzle_emb_len 0 takes as many as the table row needs."""
        if self.puzzle_emb_ndim == 0:
            return 0
        return self.puzzle_emb_len or -(-self.puzzle_emb_ndim // self.hidden_size)

    @property
    def length(self) -> int:
        """L = puzzle tokens + grid tokens."""
        return self.puzzle_tokens + self.seq_len


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


class PuzzleModel(nn.Module, ABC):
    """Base of the families: builds what they share in the published order of random draws.

    A subclass calls `__init__`, makes its stacks, then `_register_initial_states`, and implements `_think`.
    """

    draws_per_row = 2  # explore or not, and how long

    def __init__(self, settings: PuzzleModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.halt_max_steps = settings.halt_max_steps
        self.dtype = forward_dtype_named(settings.forward_dtype)
        width = settings.hidden_size
        self.embed_tokens = embedding_parameter(settings.vocab_size, width)
        self.lm_head = linear_parameter(settings.vocab_size, width)
        self.q_head = QHead(width)
        self.puzzle_embedding: nn.Embedding | None = None
        if settings.puzzle_emb_ndim:
            table = torch.zeros(settings.num_puzzle_identifiers, settings.puzzle_emb_ndim)
            self.puzzle_embedding = nn.Embedding(table.shape[0], table.shape[1], _weight=table, sparse=True)
        self.embed_positions: nn.Parameter | None = None
        if settings.pos_encodings == "learned":
            self.embed_positions = embedding_parameter(settings.length, width)
        rope = None
        if settings.pos_encodings == "rope" and not settings.mlp_t:
            exact = torch.float64 if self.dtype == torch.float64 else torch.float32
            rope = rope_tables(settings.length, width // settings.num_heads, settings.rope_theta, exact)
        # Functions of the settings, not state: left out of the state dict.
        self.rope_cos: Tensor | None
        self.rope_sin: Tensor | None
        self.register_buffer("rope_cos", None if rope is None else rope.cos, persistent=False)
        self.register_buffer("rope_sin", None if rope is None else rope.sin, persistent=False)

    # --- What a family says ---

    answer_state = "z_H"

    @abstractmethod
    def _think(self, z: States, x: Tensor, weights: Weights) -> States:
        """New states with their graph from states z and embedded input x, [B, L, D] each."""

    def _make_stack(self, depth: int) -> Stack:
        settings = self.settings
        return Stack(
            depth=depth,
            hidden_size=settings.hidden_size,
            num_heads=settings.num_heads,
            expansion=settings.expansion,
            length=settings.length,
            mlp_t=settings.mlp_t,
            causal=settings.causal,
        )

    def _register_initial_states(self, *names: str) -> None:
        """Draw the first value of each state, a buffer that is never trained: "z_H" starts from `H_init`."""
        self.state_names = names
        for name in names:
            # Drawn in float32 whatever the activation type, so that one seed gives one network at every precision.
            start = truncated_normal_(torch.empty(self.settings.hidden_size), std=1.0)
            self.register_buffer(_initial_name(name), start)

    # --- What the training loop and the evaluation use ---

    #: The batch field that holds what should be answered.
    label_field = "labels"

    def trunk_parameters(self) -> Iterator[nn.Parameter]:
        """Everything that the main optimizer and the average see: all but the puzzle table."""
        table = None if self.puzzle_embedding is None else self.puzzle_embedding.weight
        return (parameter for parameter in self.parameters() if parameter is not table)

    def gradient_groups(self) -> dict[str, list[nn.Parameter]]:
        """The parts whose gradients are measured and clipped by themselves: here all of the trunk, as one."""
        return {"trunk": list(self.trunk_parameters())}

    def recompute_activations(self) -> None:
        """Keep only the input of each stack call for the backward pass, and run the call again there."""
        for module in self.modules():
            if isinstance(module, Stack):
                module.recompute = True

    def compile_stacks(self, **options: Any) -> None:
        """Hand the inner stacks to torch.compile; options as for torch.compile."""
        for module in self.modules():
            if isinstance(module, Stack):
                module.compile_compute(**options)

    def share_rows(self, rows: AllRows) -> None:
        """Every row is learnt from by itself here: those of other processes are not asked for."""

    def initial_carry(self, batch: Mapping[str, Tensor]) -> Carry:
        """All rows halted, states zero: the first step fills every row."""
        inputs = batch["inputs"]
        shape = (inputs.shape[0], self.settings.length, self.settings.hidden_size)
        return empty_carry(
            batch, {name: torch.zeros(shape, dtype=self.dtype, device=inputs.device) for name in self.state_names}
        )

    def advance(
        self,
        carry: Carry,
        batch: Mapping[str, Tensor],
        clock: Clock[Tensor | float] = SETTLED,  # noqa: ARG002 - nothing here is scheduled
        draws: Tensor | None = None,
    ) -> tuple[Carry, Outputs]:
        """One supervision step. draws: uniform [B, 2] in training, None in evaluation. The clock is not read.

        The new carry is detached. Fields read from the batch: `inputs` int [B, S], `puzzle_identifiers` int [B].
        """
        carry = refresh(carry, batch, self.initial_states())
        weights = {name: module.cast(self.dtype) for name, module in self.named_children() if isinstance(module, Stack)}
        head = self.lm_head.to(self.dtype)
        x = self._embed(carry.data)
        z = self._think(carry.z, x, weights)
        outputs = self._read(z[self.answer_state], head)
        z = {name: value.detach() for name, value in z.items()}
        steps = carry.steps + 1
        with torch.no_grad():
            halted = decide_halt(
                steps,
                self.wants_halt(outputs),
                draws,
                halt_max_steps=self.halt_max_steps,
                exploration_probability=self.settings.halt_exploration_prob,
            )
            if self.settings.learns_to_continue and draws is not None and self.halt_max_steps > 1:
                ahead = self._read(self._think(z, x, weights)[self.answer_state], head)
                outputs = replace(outputs, target_q_continue=_bootstrap(ahead, steps >= self.halt_max_steps))
        return replace(carry, z=z, steps=steps, halted=halted), outputs

    def forward(
        self, carry: Carry, batch: Mapping[str, Tensor], clock: Clock[Tensor | float], draws: Tensor | None
    ) -> StepResult:
        """`advance`, then losses and metrics on the labels of the carried rows (`labels` int [B, S], -100 ignored)."""
        carry, outputs = self.advance(carry, batch, clock, draws)
        labels = carry.data["labels"]
        loss, terms = losses.step_losses(outputs, labels)
        metrics = losses.step_metrics(outputs, labels, carry.steps, carry.halted)
        return StepResult(carry=carry, loss=loss, terms=terms, metrics={"halted": metrics}, outputs=outputs)

    def answer(self, outputs: Outputs) -> Tensor:
        """The predicted tokens, int64 [B, S]."""
        return outputs.logits.argmax(-1)

    def wants_halt(self, outputs: Outputs) -> Tensor:
        """Which rows would stop with this answer, bool [B]."""
        threshold = outputs.q_continue if self.settings.learns_to_continue else torch.zeros_like(outputs.q_halt)
        return outputs.q_halt > threshold

    def initial_states(self) -> States:
        """What each carried state starts from, [D] by name."""
        return {name: self.get_buffer(_initial_name(name)) for name in self.state_names}

    def label_nats(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """What each label [B, S] costs under the model's law, in nats: float32 [B, S], 0 where it is ignored."""
        return losses.stablemax_cross_entropy(outputs.logits, labels)

    # --- Parts ---

    @property
    def rope(self) -> Rope | None:
        """The rotation tables, or None."""
        if self.rope_cos is None or self.rope_sin is None:
            return None
        return Rope(self.rope_cos, self.rope_sin)

    def _embed(self, data: Mapping[str, Tensor]) -> Tensor:
        """X [B, L, D]: puzzle tokens then grid tokens, scaled by sqrt(D).

        Tables are read in float32 and the result is cast: the gradients of many equal tokens then add up in float32.
        """
        x = F.embedding(data["inputs"], self.embed_tokens).to(self.dtype)
        if self.puzzle_embedding is not None:
            row = self.puzzle_embedding(data["puzzle_identifiers"]).to(self.dtype)
            tokens, width = self.settings.puzzle_tokens, self.settings.hidden_size
            # Only the first numbers are learned; the tokens that zeros fill are room to think in.
            prefix = F.pad(row, (0, tokens * width - row.shape[1])).view(-1, tokens, width)
            x = torch.cat((prefix, x), dim=1)
        if self.embed_positions is not None:
            x = _POSITION_SCALE * (x + self.embed_positions.to(self.dtype))
        return math.sqrt(self.settings.hidden_size) * x

    def _read(self, z: Tensor, head: Tensor) -> Outputs:
        """Heads on the answer state [B, L, D]: tokens after the prefix by `head` [V, D]; halting where all is seen."""
        logits = F.linear(z, head)[:, self.settings.puzzle_tokens :]
        q_halt, q_continue = self.q_head(z[:, -1 if self.settings.causal else 0])
        return Outputs(logits=logits, q_halt=q_halt, q_continue=q_continue)


def _bootstrap(ahead: Outputs, last: Tensor) -> Tensor:
    """Value of going on, [B]: the better of both choices one step ahead; after the last step only halting is left."""
    best = torch.where(last, ahead.q_halt, torch.maximum(ahead.q_halt, ahead.q_continue))
    return torch.sigmoid(best)


def _initial_name(state: str) -> str:
    return state.removeprefix("z_") + "_init"
