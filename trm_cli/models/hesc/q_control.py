"""Decide when to halt and when to expand: Double DQN over pooled states, without gradient to the network.

Formulas: Mnih 2015 (replay, target network), van Hasselt 2016 (double targets). HALT is full information: its reward is
known in every state that has labels, so every sampled state teaches it.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor, nn
from torch.nn import functional

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.replay import Transition
from trm_cli.models.layers.initialization import linear_parameter
from trm_cli.schedule.clock import Clock


class Action(IntEnum):
    """The one definition of the order of actions: head, policy, replay and logs all read it."""

    CONTINUE = 0
    HALT = 1
    EXPAND = 2


EXTRA_FEATURES = 7
_TARGET_WEIGHTS = ("hidden", "hidden_bias", "value", "value_bias")


def _values(state: Tensor, hidden: Tensor, hidden_bias: Tensor, value: Tensor, value_bias: Tensor) -> Tensor:
    return functional.linear(functional.gelu(functional.linear(state, hidden, hidden_bias)), value, value_bias)


class QNetwork(nn.Module):
    """(D + 7) -> hidden -> one value per action, with a slowly following copy in buffers."""

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        size, wide = config.hidden_size + EXTRA_FEATURES, config.q_hidden_dim
        self.state_size = size
        self.hidden = linear_parameter(wide, size)
        self.hidden_bias = nn.Parameter(torch.zeros(wide))
        self.value = linear_parameter(len(Action), wide)
        self.value_bias = nn.Parameter(torch.zeros(len(Action)))
        for name in _TARGET_WEIGHTS:
            self.register_buffer(f"target_{name}", self.get_parameter(name).detach().clone())

    def forward(self, state: Tensor) -> Tensor:
        """State float32 [N, S] -> values [N, 3]. The state never carries a gradient to the trunk."""
        return _values(state.detach().float(), *(self.get_parameter(name) for name in _TARGET_WEIGHTS))

    @torch.no_grad()
    def target(self, state: Tensor) -> Tensor:
        """Values by the slow copy: [N, S] -> [N, 3]."""
        return _values(state.float(), *(self.get_buffer(f"target_{name}") for name in _TARGET_WEIGHTS))

    @torch.no_grad()
    def follow(self, tau: float) -> None:
        """Move the slow copy by the share tau towards the present weights."""
        for name in _TARGET_WEIGHTS:
            self.get_buffer(f"target_{name}").lerp_(self.get_parameter(name), tau)


def state_features(
    config: HescConfig,
    token: Tensor,
    before: Tensor,
    log_probs: Tensor,
    steps: Tensor,
    opened: Tensor,
    residual: Tensor,
) -> Tensor:
    """What the Q-network sees, float32 [B, D + 7], detached.

    token and before [B, D]: register 0 now and one step ago; log_probs [B, T, V]; steps int [B]; opened bool [B, K];
    residual [B, K].
    """
    token, before, log_probs = token.detach().float(), before.detach().float(), log_probs.detach()
    still = 1.0 - functional.cosine_similarity(token, before, dim=-1, eps=1e-6)
    entropy = -(log_probs.exp() * log_probs).sum(-1).mean(-1)
    sure = log_probs.amax(-1).exp()
    hidden_error = residual.detach().float().masked_fill(opened, 0.0)
    extra = (
        steps.float() / config.halt_max_steps,
        still,
        sure.mean(-1),
        sure.amin(-1),
        entropy / torch.tensor(float(log_probs.shape[-1])).log().to(entropy.device),
        opened.float().mean(-1),
        hidden_error.amax(-1),
    )
    return torch.cat((functional.normalize(token, dim=-1), torch.stack(extra, -1)), -1)


def valid_actions(config: HescConfig, steps: Tensor, opened: Tensor) -> Tensor:
    """Which actions exist after `steps` [B] with capsules opened bool [B, K]: bool [B, 3].

    At the last step only HALT; EXPAND while a capsule is closed.
    """
    going = steps < config.halt_max_steps
    closed = going & ~opened.all(1) if config.enable_expansion else torch.zeros_like(going)
    return torch.stack((going, torch.ones_like(going), closed), 1)


def by_sampling(logits: Tensor, valid: Tensor, draw: Tensor) -> Tensor:
    """Draw from softmax(logits) over the valid actions: logits [B, A], valid bool [B, A], draw [B] in [0, 1) -> [B].

    Inverse of the cumulative law, so the choice is a function of the draw; the last valid action takes rounding's rest.
    """
    law = logits.masked_fill(~valid, -torch.inf).softmax(-1)
    index = (draw[:, None] >= law.cumsum(-1)).sum(-1)
    last = valid.shape[1] - 1 - valid.flip(1).int().argmax(1)
    return torch.minimum(index, last)


@torch.no_grad()
def choose(
    q: Tensor | None,
    wants_halt: Tensor,
    wants_expand: Tensor,
    valid: Tensor,
    clock: Clock[Tensor | float],
    draws: Tensor | None,
) -> Tensor:
    """The action of each row, int64 [B].

    q [B, 3], or None without a DQN. wants_halt, wants_expand bool [B]: the baseline's wish. draws [B, 3] in training:
    (whether to act at random, which random action, which sampled action). None in evaluation: no row halts before the
    last step, no chance, EXPAND where its value is the larger.
    """
    baseline = torch.where(wants_expand, int(Action.EXPAND), int(Action.CONTINUE))
    if draws is None:
        going = valid.clone()
        going[:, Action.HALT] = ~valid[:, Action.CONTINUE]
        best = baseline if q is None else _after_warmup(clock, _greedy(q, going), torch.zeros_like(baseline))
        return torch.where(going.gather(1, best[:, None])[:, 0], best, _greedy(going.float(), going))
    action = torch.where(wants_halt, int(Action.HALT), baseline)
    if q is not None:
        temperature = torch.as_tensor(clock.q_temperature, device=q.device).clamp_min(1e-6)
        sampled = by_sampling(q / temperature, valid, draws[:, 2])
        halting = torch.where(wants_halt, int(Action.HALT), int(Action.CONTINUE))
        action = _after_warmup(clock, sampled, halting)
    anything = by_sampling(torch.zeros_like(valid, dtype=torch.float32), valid, draws[:, 1])
    action = torch.where(draws[:, 0] < clock.epsilon, anything, action)
    return torch.where(valid.gather(1, action[:, None])[:, 0], action, int(Action.HALT))


def _greedy(q: Tensor, valid: Tensor) -> Tensor:
    return q.masked_fill(~valid, -torch.inf).argmax(-1)


def _after_warmup(clock: Clock[Tensor | float], then: Tensor, before: Tensor) -> Tensor:
    return torch.where(torch.as_tensor(clock.dqn_warmup, device=then.device) >= 1.0, then, before)


def td_loss(network: QNetwork, batch: Transition, gamma: float) -> Tensor:
    """Mean Huber loss of N transitions, 0-dim: the executed action towards its double-DQN target, HALT towards what it
    pays.

    y = r + gamma * (1 - terminal) * Q_target(s', argmax over valid a of Q(s', a)).
    """
    q = network(batch.state)
    with torch.no_grad():
        best = _greedy(network(batch.next_state), batch.next_valid)
        future = network.target(batch.next_state).gather(1, best[:, None])[:, 0]
        wanted = batch.reward + gamma * torch.where(batch.terminal, torch.zeros_like(future), future)
    executed = functional.huber_loss(q.gather(1, batch.action[:, None])[:, 0], wanted, reduction="none")
    halting = functional.huber_loss(q[:, Action.HALT], batch.halt_reward, reduction="none")
    # A terminal transition is a HALT: its two summands would be the same number twice.
    return (executed + torch.where(batch.terminal, torch.zeros_like(halting), halting)).mean()
