"""Define multimodal_hesc: the network, its halting control and its memory behind the `Network` interface.

Scheduled values come in as the clock, random numbers as `draws`; nothing here counts steps. Replay, target network,
concepts and memory are buffers: the state dict continues the run exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trm_cli.models.all_ranks import AllRanks, OnlyRank
from trm_cli.models.canvas_network import CanvasNetwork, CapsuleTrace
from trm_cli.models.cost import PUZZLE_TABLE, Component, Measured
from trm_cli.models.hesc import inference, losses, metrics, parameter_budget, q_control
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.losses import AnswerCheck
from trm_cli.models.hesc.network import HescNetwork, HescOutputs, NetworkPass
from trm_cli.models.hesc.q_control import Action, QNetwork
from trm_cli.models.hesc.replay import ReplayBuffer, Transition
from trm_cli.models.hesc.working_set import expand
from trm_cli.models.layers.carry import Carry, empty_carry, refresh
from trm_cli.models.layers.losses import softmax_cross_entropy
from trm_cli.models.layers.outputs import Outputs, StepResult
from trm_cli.models.layers.sampling import Sampling
from trm_cli.schedule.clock import SETTLED, Clock

# What the first draws of a row decide; the rest choose what is replayed.
_POLICY_DRAWS = slice(0, 3)
_PLANNER_DRAW, _CONCEPT_DRAW, _FIRST_REPLAY_DRAW = 3, 4, 5


class MultimodalHesc(CanvasNetwork):
    """Hierarchical Expandable Semantic Capsules: one recursive model for grids, text and pictures.

    Batch: canvas_kind [B] (0 grid, 1 text, 2 picture), canvas uint8 [B, C], target int32 [B, T] (-100: not asked),
    target_kind [B] (0 grid, 1 text), puzzle_identifiers int32 [B], and optionally picture uint8 [B, 3, h, w].
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
        """The slots of the working set."""
        return self.config.num_slots

    @property
    def canvas_size(self) -> int:
        """See `CanvasNetwork`."""
        return self.config.canvas_size

    def share_rows(self, ranks: AllRanks) -> None:
        """See `Network`: replay, concepts, memory and the balance of paths are learnt from a whole batch."""
        self._all = ranks

    def gradient_groups(self) -> dict[str, list[nn.Parameter]]:
        """The trunk by component: each has its own size of gradient, and is measured and clipped by itself."""
        return {name: group for name, group in parameter_budget.clipping_groups(self).items() if name != "puzzle"}

    def recompute_activations(self) -> None:
        """See `Network`."""
        self.network.recursion.recompute = True

    def compile_stacks(self, **options: Any) -> None:
        """See `Network`."""
        self.network.recursion.compile(**options)

    def initial_carry(self, batch: Mapping[str, Tensor]) -> Carry:
        """See `Network`."""
        canvas = batch["canvas"]
        rows, device = canvas.shape[0], canvas.device
        shape = (rows, self.config.num_slots, self.config.hidden_size)
        z = {name: torch.zeros(shape, dtype=self.dtype, device=device) for name in ("z_H", "z_L")}
        extra = {"opened": torch.zeros(rows, self.config.num_capsules, dtype=torch.bool, device=device)}
        if self.q_network is not None:
            extra["q_state"] = torch.zeros(rows, self.q_network.state_size, device=device)
            extra["action"] = torch.zeros(rows, dtype=torch.int64, device=device)
            for name in ("reward", "halt_reward", "accuracy"):
                extra[name] = torch.zeros(rows, device=device)
            extra["learns"] = torch.zeros(rows, dtype=torch.bool, device=device)
        return replace(empty_carry(batch, z), extra=extra)

    # --- One step ---

    def _think(self, carry: Carry, opened: Tensor, draws: Tensor | None) -> NetworkPass:
        """Run the network in the activation type; master weights are cast once, recursive calls share the copies."""
        puzzle = None
        if self.puzzle_embedding is not None:
            puzzle = self.puzzle_embedding(carry.data["puzzle_identifiers"].long())
        draw = None if draws is None else draws[:, _PLANNER_DRAW]
        arguments = (carry.data, carry.z["z_H"], carry.z["z_L"], opened, puzzle, draw)
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
    ) -> tuple[Carry, HescOutputs]:
        """One supervision step. draws: uniform [B, draws_per_row] in training, None in evaluation (no row halts early).

        The new carry is detached; EXPAND takes effect in the next step. Raises ValueError for a training step without
        a clock: a settled one would train without chance and without a price.
        """
        clock = _clock_of(clock, draws)
        fresh = carry.halted
        carry = refresh(carry, batch, self.initial_states())
        opened = carry.extra["opened"] & ~fresh[:, None]
        thought = self._think(carry, opened, draws)
        steps = carry.steps + 1
        valid = q_control.valid_actions(self.config, steps, opened)
        extra = {"opened": opened}
        q = None
        if self.q_network is not None:
            state = q_control.state_features(
                self.config,
                thought.z_H[:, 0],
                carry.z["z_H"][:, 0],
                thought.log_probs,
                steps,
                opened,
                thought.capsules.residual,
            )
            q = self.q_network(state).detach()
            extra["q_state"] = state
        with torch.no_grad():
            hidden_error = thought.capsules.residual.masked_fill(opened, 0.0).amax(-1)
            wants_expand = (hidden_error > self.config.expand_threshold) & valid[:, Action.EXPAND]
            policy = None if draws is None else draws[:, _POLICY_DRAWS]
            action = q_control.choose(q, thought.q_halt > 0, wants_expand, valid, clock, policy)
            extra["opened"] = expand(opened, thought.capsules.residual, action == Action.EXPAND)
            if q is not None:
                extra |= self._price(action, clock)
        z = {"z_H": thought.z_H.detach(), "z_L": thought.z_L.detach()}
        after = replace(carry, z=z, steps=steps, halted=action == Action.HALT, extra=extra)
        return after, HescOutputs(
            logits=thought.scores,
            q_halt=thought.q_halt,
            q_continue=torch.zeros_like(thought.q_halt),
            thought=thought,
            q=q,
            action=action,
            opened=opened,
        )

    def _price(self, action: Tensor, clock: Clock[Tensor | float]) -> dict[str, Tensor]:
        """The cost part of the reward of `action` [B]; what the step gains is known one step later."""
        penalty = self.config.children_per_capsule * torch.as_tensor(clock.expansion_penalty, device=action.device)
        cost = self.config.reward_step_cost + (action == Action.EXPAND) * penalty
        zero = torch.zeros(action.shape[0], device=action.device)
        return {
            "action": action,
            "reward": -cost.float(),
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
    ) -> StepResult:
        """One supervision step with its losses; in training (draws given) replay, concepts and memory move as well."""
        before = carry
        clock = _clock_of(clock, draws)
        carry, outputs = self.advance(carry, batch, clock, draws)
        assert outputs.thought is not None and outputs.opened is not None and outputs.action is not None
        thought, target, kind = outputs.thought, carry.data["target"], carry.data["target_kind"]
        check = losses.check_answers(thought, target)
        all_ranks = OnlyRank() if draws is None else self._all
        terms = losses.loss_terms(self.config, thought, check, target, kind, all_ranks)
        if self.q_network is not None:
            carry = self._remember_check(carry, check)
            if draws is not None:
                self._experience(before, carry, outputs.opened)
                terms["td_loss"] = self._td_term(clock, draws)
        codes = None if draws is None else self._store(thought, check, carry, draws)
        loss = torch.stack(tuple(terms.values())).sum()
        detached = {name: term.detach() for name, term in terms.items()}
        sums = metrics.of_halted(thought, check, kind, carry.steps, carry.halted, outputs.opened)
        sums |= metrics.of_all(outputs.action, thought.plan, codes, self.network.concepts, self.network.memory)
        return StepResult(carry, loss, detached, sums, outputs)

    def answer(self, outputs: Outputs) -> Tensor:
        """Predicted tokens [B, T]; in text rows each one given the true tokens before it."""
        return outputs.logits.argmax(-1)

    def wants_halt(self, outputs: Outputs) -> Tensor:
        """See `Network`."""
        return outputs.q_halt > 0

    def initial_states(self) -> dict[str, Tensor]:
        """See `Network`."""
        recursion = self.network.recursion
        return {"z_H": recursion.z_H_start, "z_L": recursion.z_L_start}

    def label_nats(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """The negative log-likelihood of each label [B, T] in nats: float32 [B, T], 0 where it is ignored."""
        return softmax_cross_entropy(outputs.logits, labels)

    def trace(self, batch: Mapping[str, Tensor]) -> CapsuleTrace:
        """See `CanvasNetwork`."""
        return inference.trace(self, self.network, batch)

    def continue_text(
        self,
        batch: Mapping[str, Tensor],
        count: int,
        sampling: Sampling,
        draws: Tensor | None = None,
        *,
        speakable: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """See `CanvasNetwork`."""
        return inference.continue_text(self, self.network, batch, count, sampling, draws, speakable=speakable)

    # --- What it costs ---

    def blank_batch(self, rows: int, device: torch.device | str) -> dict[str, Tensor]:
        """See `Network`; without pictures."""
        kind = torch.zeros(rows, dtype=torch.int32, device=device)
        return {
            "canvas_kind": kind,
            "canvas": torch.zeros(rows, self.config.geometry.cells, dtype=torch.uint8, device=device),
            "target": torch.zeros(rows, self.seq_len, dtype=torch.int32, device=device),
            "target_kind": kind,
            "puzzle_identifiers": kind,
        }

    def components(self, measured: Measured, rows: int) -> list[Component]:  # noqa: ARG002 - counted, not measured
        """See `Network`."""
        row = parameter_budget.arithmetic(self.config, self.vocab_size, self.seq_len)
        return [
            Component(
                PUZZLE_TABLE if name == "puzzle" else name, count, row.forward.get(name, 0), row.training.get(name, 0)
            )
            for name, count in parameter_budget.parameter_counts(self).items()
        ]

    def counted_operations(self) -> int:
        """See `Network`."""
        return sum(parameter_budget.arithmetic(self.config, self.vocab_size, self.seq_len).training.values())

    # --- What is learnt from what happened ---

    def _remember_check(self, carry: Carry, check: AnswerCheck) -> Carry:
        pay = torch.where(check.right, self.config.reward_correct, self.config.reward_incorrect)
        extra = carry.extra | {"halt_reward": pay, "accuracy": check.share.float(), "learns": check.has_label}
        return replace(carry, extra=extra)

    def _experience(self, before: Carry, after: Carry, opened: Tensor) -> None:
        """Store what the rows did: the step that led here, where the row is still the same puzzle, and a HALT now.

        A row that was reset in this step has no past: its last transition was stored, as terminal, when it halted.
        """
        assert self.replay is not None
        old, new = before.extra, after.extra
        valid = q_control.valid_actions(self.config, after.steps, opened)
        gain = new["accuracy"] - old["accuracy"]
        led_here = Transition(
            state=old["q_state"],
            action=old["action"],
            reward=(old["reward"] + gain).clamp(-1, 1),
            halt_reward=old["halt_reward"],
            next_state=new["q_state"],
            next_valid=valid,
            terminal=torch.zeros_like(before.halted),
        )
        ended = Transition(
            state=new["q_state"],
            action=new["action"],
            reward=new["halt_reward"],
            halt_reward=new["halt_reward"],
            next_state=new["q_state"],
            next_valid=valid,
            terminal=torch.ones_like(before.halted),
        )
        for transition, keep in ((led_here, ~before.halted & old["learns"]), (ended, after.halted & new["learns"])):
            *fields, keep = self._all.gather((*transition, keep))
            self.replay.push(Transition(*fields), keep)

    def _td_term(self, clock: Clock[Tensor | float], draws: Tensor) -> Tensor:
        """TD loss of a sample, as a sum over rows; nothing during warm-up or while the replay is too small."""
        assert self.replay is not None and self.q_network is not None
        config = self.config
        self.q_network.follow(config.dqn_tau)
        (all_ranks,) = self._all.gather((draws[:, _FIRST_REPLAY_DRAW:].contiguous(),))
        recent = int(config.replay_recent_fraction * all_ranks.numel())
        places = self.replay.places(all_ranks.flatten(), recent, config.replay_recent_window)
        batch = self.replay.at(places.view(all_ranks.shape)[self._all.rows(len(all_ranks))].flatten())
        ready = (self.replay.size() >= config.replay_min_size) & (
            torch.as_tensor(clock.dqn_warmup, device=draws.device) >= 1.0
        )
        weight = config.td_loss_weight * draws.shape[0] * ready
        return weight * q_control.td_loss(self.q_network, batch, config.dqn_gamma)

    def _store(self, thought: NetworkPass, check: AnswerCheck, carry: Carry, draws: Tensor) -> Tensor | None:
        """Move the concept book and the usual detail; keep the states of rows that ended right, worth more the fewer
        steps they took. Returns the codes of all rows."""
        codes = None
        if thought.capsules.detail is not None:
            self.network.capsules.follow(*self._all.gather((thought.capsules.detail,)))
        if self.network.concepts is not None and thought.coding is not None:
            coding = (thought.coding.encodings, thought.coding.ids, draws[:, _CONCEPT_DRAW])
            encodings, codes, chance = self._all.gather(coding)
            self.network.concepts.update(encodings, codes, chance)
        if self.network.memory is not None and thought.cue is not None:
            saved = 1.0 + (self.halt_max_steps - carry.steps).float() / self.halt_max_steps
            worth = saved * (carry.halted & check.right)
            self.network.memory.write(*self._all.gather((thought.cue.detach(), thought.z_H[:, 0].detach(), worth)))
        return codes


def _clock_of(clock: Clock[Tensor | float] | None, draws: Tensor | None) -> Clock[Tensor | float]:
    """The clock of a step; an evaluation needs none."""
    if clock is not None:
        return clock
    if draws is not None:
        raise ValueError("a training step needs the scheduled values of its step: pass clock=")
    return SETTLED
