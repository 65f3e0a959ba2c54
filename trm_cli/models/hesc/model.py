"""Define multimodal_hesc: the network and its halting control behind the `Network` interface.

Scheduled values come in as the clock, random numbers as `draws`; nothing here counts steps. Replay and target network
are buffers, demonstrations are in the carry: both continue the run exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trm_cli.models.all_ranks import AllRanks, OnlyRank
from trm_cli.models.capsule_network import CapsuleNetwork, CapsuleTrace
from trm_cli.models.cost import PUZZLE_TABLE, Component, Measured
from trm_cli.models.hesc import capsule_trace, components, losses, metrics
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.control import experience, q_control
from trm_cli.models.hesc.control.q_control import Action, QNetwork
from trm_cli.models.hesc.control.replay import ReplayBuffer
from trm_cli.models.hesc.network import HescNetwork
from trm_cli.models.hesc.passes import HescOutputs, NetworkInputs, NetworkPass
from trm_cli.models.hesc.rows.kinds import FIELDS, Kind, blank
from trm_cli.models.hesc.rows.layout import Layout, layout_from, outline
from trm_cli.models.hesc.text_reader import HescReader
from trm_cli.models.hesc.thinking.blocks import Attention, SwiGLU, TokenBlock
from trm_cli.models.supervision.carry import Carry, empty_carry, refresh
from trm_cli.models.supervision.losses import softmax_cross_entropy
from trm_cli.models.supervision.outputs import Outputs, StepResult
from trm_cli.models.text_reader import TextReader
from trm_cli.schedule.clock import SETTLED, Clock

# What the first draws of a row decide; the rest choose what is replayed.
_POLICY_DRAWS = slice(0, 3)
_PLANNER_DRAW, _FIRST_REPLAY_DRAW = 3, 4


class MultimodalHesc(CapsuleNetwork):
    """Hierarchical Expandable Semantic Capsules: one recursive model for grids, text and pictures.

    Batch: kind [B] (see `Kind`), target int32 [B, S] (-100: not asked), puzzle_identifiers int32 [B], and what the
    dataset has of: cells uint8 [B, side * side] with size uint8 [B, 4]; text int [B, T]; picture uint8 [B, C, h, w];
    pair_cells uint8 [B, k, 2, side * side] with pair_size uint8 [B, k, 4].
    """

    config: HescConfig
    label_field = "target"

    def __init__(
        self, config: HescConfig, *, vocab_size: int, seq_len: int, num_puzzle_identifiers: int, forward_dtype: str
    ) -> None:
        super().__init__(config, vocab_size=vocab_size, seq_len=seq_len, forward_dtype=forward_dtype)
        self.network = HescNetwork(config, vocab_size, seq_len)
        self.puzzle_embedding = self.new_puzzle_table(num_puzzle_identifiers)
        self.q_network: QNetwork | None = None
        self.replay: ReplayBuffer | None = None
        self.draws_per_row = _FIRST_REPLAY_DRAW
        self._all: AllRanks = OnlyRank()
        if self.config.enable_dqn:
            self.q_network = QNetwork(self.config)
            self.replay = ReplayBuffer(self.config.replay_capacity, self.q_network.state_size, len(Action))
            self.draws_per_row += self.config.replay_samples_per_row

    @property
    def positions(self) -> int:
        """The tokens of the longest rows."""
        return max(self.seq_len, self.config.num_slots)

    def share_rows(self, ranks: AllRanks) -> None:
        """See `Network`: replay, usual detail and the balance of paths are learnt from a whole batch."""
        self._all = ranks

    def block_matrices(self) -> Iterator[nn.Parameter]:
        """See `Network`."""
        for module in self.network.modules():
            if isinstance(module, (Attention, SwiGLU)):
                yield from module.parameters()
            elif isinstance(module, TokenBlock) and module.likeness is not None:
                yield module.likeness

    def gradient_groups(self) -> dict[str, list[nn.Parameter]]:
        """The trunk by component: each has its own size of gradient, and is measured and clipped by itself."""
        return {name: group for name, group in components.parameter_groups(self).items() if name != PUZZLE_TABLE}

    def recompute_activations(self) -> None:
        """See `Network`."""
        self.network.recursion.recompute = True

    def compile_stacks(self, **options: Any) -> None:
        """See `Network`."""
        self.network.compile_passes(**options)

    def initial_carry(self, batch: Mapping[str, Tensor]) -> Carry:
        """See `Network`."""
        config, kind = self.config, batch["kind"]
        rows, device = kind.shape[0], kind.device
        lengths = [batch[FIELDS[one]].shape[1] for one in (Kind.GRID, Kind.TEXT) if FIELDS[one] in batch]
        if FIELDS[Kind.PICTURE] in batch:
            lengths.append(config.patches)
        pairs = batch["pair_size"].shape[1] * config.pair_slots if "pair_size" in batch else 0
        shapes = {
            "z_L": (max(lengths), config.token_size),
            "z_H": (config.num_slots, config.hidden_size),
            "pairs": (pairs, config.hidden_size),
        }
        z = {
            name: torch.zeros(rows, *size, dtype=self.dtype, device=device) for name, size in shapes.items() if size[0]
        }
        extra = {"opened": torch.zeros(rows, config.num_capsules, dtype=torch.bool, device=device)}
        if self.q_network is not None:
            extra |= experience.nothing_yet(rows, self.q_network.state_size, device)
        return replace(empty_carry(batch, z), extra=extra)

    # --- One step ---

    def outline(self, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Network`."""
        return outline(fields, self.network.extent)

    def layout(self, known: Mapping[str, Tensor], steps: Tensor) -> Layout:
        """See `Network`."""
        return layout_from(self.config, known, steps, self.network.extent)

    def _think(self, carry: Carry, inputs: NetworkInputs, draws: Tensor | None, layout: Layout | None) -> NetworkPass:
        """Run the network in the activation type; master weights are cast once, recursive calls share the copies."""
        puzzle = None
        if self.puzzle_embedding is not None:
            puzzle = self.puzzle_embedding(carry.data["puzzle_identifiers"].long())
        draw = None if draws is None else draws[:, _PLANNER_DRAW]
        arguments = (carry.data, inputs, puzzle, draw, layout)
        if self.dtype == torch.float32:
            thought: NetworkPass = self.network(*arguments)
            return thought
        cast = {name: weight.to(self.dtype) for name, weight in self.network.named_parameters()}
        thought = functional_call(self.network, cast, arguments)
        return thought

    def advance(
        self,
        carry: Carry,
        batch: Mapping[str, Tensor],
        clock: Clock[Tensor | float] | None = None,
        draws: Tensor | None = None,
        layout: Layout | None = None,
    ) -> tuple[Carry, HescOutputs]:
        """One supervision step. draws: uniform [B, draws_per_row] in training, None in evaluation (no row halts early).

        The new carry is detached; EXPAND takes effect in the next step. Raises ValueError for a training step without
        a clock: a settled one would train without chance and without a price.
        """
        config = self.config
        clock = _clock_of(clock, draws)
        carry = refresh(carry, batch, self.initial_states())
        fresh, kind = carry.steps == 0, carry.data["kind"]
        opened = carry.extra["opened"] & ~fresh[:, None]
        done = (kind == Kind.TEXT) & (carry.steps >= config.text_steps)
        pairs = carry.z.get("pairs", carry.z["z_H"][:, :0])
        inputs = NetworkInputs(carry.z["z_L"], carry.z["z_H"], pairs, opened, fresh, done)
        thought = self._think(carry, inputs, draws, layout)
        steps = carry.steps + 1
        with torch.no_grad():
            valid = q_control.valid_actions(config, steps, opened, kind)
            extra, q = {}, None
            if self.q_network is not None:
                state = q_control.state_features(config, thought, carry.z["z_H"][:, 0], steps, opened)
                extra["q_state"], q = state, self.q_network(state)
            hidden_error = thought.residual.masked_fill(opened, 0.0).amax(-1)
            wants_expand = (hidden_error > config.expand_threshold) & valid[:, Action.EXPAND]
            policy = None if draws is None else draws[:, _POLICY_DRAWS]
            action = q_control.choose(q, thought.q_halt > 0, wants_expand, valid, clock, policy)
            after = q_control.expand(opened, thought.residual, action == Action.EXPAND, config.expand_together)
            extra["opened"] = after
            if q is not None:
                extra |= self._price(action, (after & ~opened).sum(1), clock)
        states = {"z_L": thought.tokens, "z_H": thought.slots, "pairs": thought.pairs}
        z = {name: states[name].detach().to(self.dtype) for name in carry.z}
        halted = action == Action.HALT
        return replace(carry, z=z, steps=steps, halted=halted, extra=extra), HescOutputs(
            logits=thought.scores,
            q_halt=thought.q_halt,
            q_continue=torch.zeros_like(thought.q_halt),
            thought=thought,
            q=q,
            action=action,
            opened=opened,
            valid=valid,
        )

    def _price(self, action: Tensor, opening: Tensor, clock: Clock[Tensor | float]) -> dict[str, Tensor]:
        """The cost part of the reward of `action` [B]; what the step gains is known one step later."""
        zero = torch.zeros(action.shape[0], device=action.device)
        return {
            "action": action,
            "reward": -q_control.price(self.config, action, opening, clock.expansion_penalty),
            "halt_reward": zero,
            "accuracy": zero,
            "learns": torch.zeros_like(action, dtype=torch.bool),
        }

    def forward(
        self,
        carry: Carry,
        batch: Mapping[str, Tensor],
        clock: Clock[Tensor | float] | None = None,
        draws: Tensor | None = None,
        layout: Layout | None = None,
    ) -> StepResult:
        """One supervision step with its losses; in training (draws given) replay and usual detail move too."""
        before = carry
        clock = _clock_of(clock, draws)
        carry, outputs = self.advance(carry, batch, clock, draws, layout)
        assert outputs.thought is not None and outputs.opened is not None and outputs.action is not None
        thought, target, kind = outputs.thought, carry.data["target"], carry.data["kind"]
        check = losses.check_answers(thought, target)
        all_ranks = OnlyRank() if draws is None else self._all
        terms = losses.loss_terms(self.config, thought, check, target, all_ranks)
        if self.q_network is not None:
            carry = experience.rewarded(self.config, carry, check)
            if draws is not None:
                assert self.replay is not None and outputs.valid is not None
                experience.store(self.replay, self._all, experience.transitions(before, carry, outputs.valid))
                terms["td_loss"] = self._td_term(clock, draws)
        loss = torch.stack(tuple(terms.values())).sum()
        if draws is not None:
            self._follow(thought)
            loss = loss + self._zero_through_all_parameters()
        detached = {name: term.detach() for name, term in terms.items()}
        sums = metrics.of_halted(thought, check, kind, carry.steps, carry.halted, outputs.opened)
        sums |= metrics.of_all(outputs.action)
        return StepResult(carry, loss, detached, sums, outputs)

    def answer(self, outputs: Outputs) -> Tensor:
        """Predicted tokens [B, T]; in text rows each one given the true tokens before it."""
        return outputs.logits.argmax(-1)

    def wants_halt(self, outputs: Outputs) -> Tensor:
        """See `Network`; a text takes its steps whatever it wants."""
        return self.halts(outputs, "bce")

    def halts(self, outputs: Outputs, policy: str) -> Tensor:
        """See `Network`; `q` asks the Q-network."""
        assert isinstance(outputs, HescOutputs) and outputs.valid is not None
        return q_control.halts(policy, outputs.q, outputs.q_halt, outputs.valid)

    def initial_states(self) -> dict[str, Tensor]:
        """See `Network`."""
        recursion = self.network.recursion
        nothing = torch.zeros_like(recursion.workspace.start)
        return {"z_L": recursion.token_start, "z_H": recursion.workspace.start, "pairs": nothing}

    def label_nats(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """The negative log-likelihood of each label [B, T] in nats: float32 [B, T], 0 where it is ignored."""
        return softmax_cross_entropy(outputs.logits, labels)

    def trace(self, batch: Mapping[str, Tensor]) -> CapsuleTrace:
        """See `CapsuleNetwork`."""
        return capsule_trace.trace(self, batch, (self.config.capsule_rows, self.config.capsule_columns))

    def text_reader(self, window: int, steps: int | None = None) -> TextReader:
        """See `Network`; a text takes its own number of steps, `text_steps`."""
        del steps
        return HescReader(self, self.network, window)

    # --- What it costs ---

    def blank_batch(self, rows: int, device: torch.device | str) -> dict[str, Tensor]:
        """See `Network`; grids where a label is long enough for one, else text; no pictures, no demonstrations."""
        return blank(rows, self.seq_len, self.config.board_side, device)

    def components(self, measured: Measured, rows: int) -> list[Component]:
        """See `Network`."""
        return components.shares(self, measured, rows, self.config.H_cycles)

    # --- What is learnt from what happened ---

    def _td_term(self, clock: Clock[Tensor | float], draws: Tensor) -> Tensor:
        """TD loss of a sample, as a sum over rows; nothing during warm-up or while the replay is too small."""
        assert self.replay is not None and self.q_network is not None
        config = self.config
        self.q_network.follow(config.dqn_tau)
        batch = experience.replayed(config, self.replay, self._all, draws[:, _FIRST_REPLAY_DRAW:])
        ready = (self.replay.size() >= config.replay_min_size) & q_control.warm(clock, draws.device)
        weight = config.td_loss_weight * draws.shape[0] * ready
        return weight * q_control.td_loss(self.q_network, batch, config.dqn_gamma)

    def _zero_through_all_parameters(self) -> Tensor:
        """Zero, through every parameter: those of kinds that a batch lacks have a gradient too, in every process."""
        whole = (weight for weight in self.trunk_parameters() if not hasattr(weight, "placements"))
        return 0.0 * torch.stack([weight.reshape(-1)[0] for weight in whole]).sum()

    def _follow(self, thought: NetworkPass) -> None:
        """Move what the children of a capsule always say."""
        checksum, detail = self.network.recursion.workspace.checksum, thought.details
        if checksum is not None and detail is not None:
            checksum.follow(*self._all.gather((detail,)))


def _clock_of(clock: Clock[Tensor | float] | None, draws: Tensor | None) -> Clock[Tensor | float]:
    """The clock of a step; an evaluation needs none."""
    if clock is not None:
        return clock
    if draws is not None:
        raise ValueError("a training step needs the scheduled values of its step: pass clock=")
    return SETTLED
