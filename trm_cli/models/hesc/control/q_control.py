"""Decide when to halt and when to expand: Double DQN over pooled states, without gradient to the network.

Formulas: Mnih 2015 (replay, target network), van Hasselt 2016 (double targets). HALT is full information: its reward is
known in every state that has labels, so every sampled state teaches it.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.control.replay import Transition
from trm_cli.models.hesc.passes import NetworkPass
from trm_cli.models.hesc.rows.kinds import Kind
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


def state_features(config: HescConfig, thought: NetworkPass, before: Tensor, steps: Tensor, opened: Tensor) -> Tensor:
    """What the Q-network sees, float32 [B, D + 7], detached.

    before [B, D]: register 0 one step ago; steps int [B]; opened bool [B, K].
    """
    token, before = thought.slots[:, 0].detach().float(), before.detach().float()
    still = 1.0 - functional.cosine_similarity(token, before, dim=-1, eps=1e-6)
    hidden_error = thought.residual.detach().masked_fill(opened, 0.0)
    extra = (
        steps.float() / config.halt_max_steps,
        still,
        *thought.certainty.unbind(1),
        opened.float().mean(-1),
        hidden_error.amax(-1),
    )
    return torch.cat((functional.normalize(token, dim=-1), torch.stack(extra, -1)), -1)


def valid_actions(config: HescConfig, steps: Tensor, opened: Tensor, kind: Tensor) -> Tensor:
    """Which actions exist after `steps` [B] with capsules opened bool [B, K]: bool [B, 3].

    At the last step only HALT; EXPAND while a capsule is closed. A text takes its steps and opens nothing: what decides
    has seen the whole of it, and its places would learn from the decision what follows them.
    """
    is_text = kind == Kind.TEXT
    going = steps < torch.where(is_text, config.text_steps, config.halt_max_steps)
    closed = going & ~is_text & ~opened.all(1) if config.enable_expansion else torch.zeros_like(going)
    return torch.stack((going, ~is_text | ~going, closed), 1)


def expand(opened: Tensor, residual: Tensor, wanted: Tensor, together: int) -> Tensor:
    """Open, in the rows where `wanted` [B], the `together` closed capsules with the largest residuals [B, K]: bool
    [B, K]."""
    order = residual.masked_fill(opened, -torch.inf).argsort(1, descending=True)[:, :together]
    return opened | (torch.zeros_like(opened).scatter(1, order, True) & wanted[:, None])


def price(config: HescConfig, action: Tensor, opening: Tensor, penalty: Tensor | float) -> Tensor:
    """What `action` int64 [B] costs when EXPAND opens so many capsules [B]: float32 [B].

    Opening costs `penalty` for each child, and never less than a step does: it is no cheaper way to wait.
    """
    rate = _number(penalty, action.device)
    opened = (config.children_per_capsule * opening * rate).clamp_min(config.reward_step_cost)
    return config.reward_step_cost + opened * (action == Action.EXPAND)


def by_sampling(logits: Tensor, valid: Tensor, draw: Tensor) -> Tensor:
    """Draw from softmax(logits) over the valid actions: logits [B, A], valid bool [B, A], draw [B] in [0, 1) -> [B].

    Inverts the cumulative distribution, so the choice is a function of the draw; the last valid action takes what
    rounding leaves.
    """
    probs = logits.masked_fill(~valid, -torch.inf).softmax(-1)
    # No `cumsum`: on CUDA its sums of floats have no fixed order, and `deterministic` refuses it.
    cumulative = torch.stack(tuple(accumulate(probs.unbind(-1), torch.add)), -1)
    index = (draw[:, None] >= cumulative).sum(-1)
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
    last step (who runs the evaluation lets rows go that want to), no chance, EXPAND where its value is the larger.
    """
    baseline = torch.where(wants_expand, int(Action.EXPAND), int(Action.CONTINUE))
    fallback = torch.where(valid[:, Action.CONTINUE], int(Action.CONTINUE), int(Action.HALT))
    if draws is None:
        going = valid.clone()
        going[:, Action.HALT] = ~valid[:, Action.CONTINUE]
        best = baseline
        if q is not None:
            best = _after_warmup(clock, _greedy(q, going), torch.full_like(baseline, int(Action.CONTINUE)))
        return torch.where(going.gather(1, best[:, None])[:, 0], best, fallback)
    action = torch.where(wants_halt, int(Action.HALT), baseline)
    if q is not None:
        temperature = _number(clock.q_temperature, q.device).clamp_min(1e-6)
        sampled = by_sampling(q / temperature, valid, draws[:, 2])
        halting = torch.where(wants_halt, int(Action.HALT), int(Action.CONTINUE))
        action = _after_warmup(clock, sampled, halting)
    anything = by_sampling(torch.zeros_like(valid, dtype=torch.float32), valid, draws[:, 1])
    action = torch.where(draws[:, 0] < clock.epsilon, anything, action)
    return torch.where(valid.gather(1, action[:, None])[:, 0], action, fallback)


def halts(policy: str, q: Tensor | None, q_halt: Tensor, valid: Tensor) -> Tensor:
    """Which rows an evaluation lets go after a step, bool [B]: `bce` asks the halting head, `q` the Q-network, `full`
    waits for the last step. Raises ValueError for another policy, and for `q` without a Q-network."""
    last = ~valid[:, Action.CONTINUE]
    if policy == "full":
        return last
    if policy == "bce":
        return last | ((q_halt > 0) & valid[:, Action.HALT])
    if policy != "q":
        raise ValueError(f"The policy is {policy!r}; there are q, bce and full.")
    if q is None:
        raise ValueError("The policy q asks the Q-network, and this model has none (arch.enable_dqn: false).")
    return last | (_greedy(q, valid) == Action.HALT)


def _greedy(q: Tensor, valid: Tensor) -> Tensor:
    return q.masked_fill(~valid, -torch.inf).argmax(-1)


def warm(clock: Clock[Tensor | float], device: torch.device) -> Tensor:
    """Whether the Q-network is past its warm-up, 0-dim bool."""
    return _number(clock.dqn_warmup, device) >= 1.0


def _after_warmup(clock: Clock[Tensor | float], then: Tensor, before: Tensor) -> Tensor:
    return torch.where(warm(clock, then.device), then, before)


def _number(value: Tensor | float, device: torch.device) -> Tensor:
    """A scheduled value, 0-dim float32; one that is no tensor is written on the device, not copied to it."""
    return value if isinstance(value, Tensor) else torch.full((), value, dtype=torch.float32, device=device)


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
