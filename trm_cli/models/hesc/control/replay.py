"""Experience replay: a ring buffer of transitions in registered buffers, so that a checkpoint holds it like any weight.

Everything is vectorised and nothing waits for the device: rows that are not to be stored are written to one spare place
past the end. The age of what is sampled is bounded by the capacity itself: a transition is gone after `capacity` later
ones.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

#: Binary places of a draw that count.
_BITS = 40
_ONE = 2.0**_BITS


class Transition(NamedTuple):
    """state and next_state [N, S]; action int64 [N]; reward [N]; halt_reward [N]: what HALT would have paid in `state`
    (known in every state, since labels are); next_valid bool [N, A]; terminal bool [N]."""

    state: Tensor
    action: Tensor
    reward: Tensor
    halt_reward: Tensor
    next_state: Tensor
    next_valid: Tensor
    terminal: Tensor


class ReplayBuffer(nn.Module):
    """Places 0 .. capacity-1 in ring order; place `capacity` takes what is thrown away.

    states are kept in float16 (they are norms, shares and cosines, all near 1), the rest as it comes.
    """

    written: Tensor

    def __init__(self, capacity: int, state_size: int, actions: int) -> None:
        super().__init__()
        if capacity < 1:
            raise ValueError("replay_capacity is at least 1.")
        self.capacity = capacity
        places = capacity + 1
        self.register_buffer("state", torch.zeros(places, state_size, dtype=torch.float16))
        self.register_buffer("action", torch.zeros(places, dtype=torch.int64))
        self.register_buffer("reward", torch.zeros(places))
        self.register_buffer("halt_reward", torch.zeros(places))
        self.register_buffer("next_state", torch.zeros(places, state_size, dtype=torch.float16))
        self.register_buffer("next_valid", torch.zeros(places, actions, dtype=torch.bool))
        self.register_buffer("terminal", torch.zeros(places, dtype=torch.bool))
        self.register_buffer("written", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, transition: Transition, keep: Tensor) -> None:
        """Store the rows where keep bool [N] and all numbers are finite; at most `capacity` of them, in order.

        Raises ValueError for a batch larger than the ring, which would write places twice.
        """
        if keep.shape[0] > self.capacity:
            raise ValueError(f"{keep.shape[0]} transitions at once do not fit a replay of {self.capacity}.")
        sound = [transition.state, transition.next_state, transition.reward[:, None], transition.halt_reward[:, None]]
        keep = keep & torch.cat(sound, 1).isfinite().all(1)
        order = keep.long().cumsum(0)
        place = torch.where(keep, (self.written + order - 1) % self.capacity, self.capacity)
        for name, value in transition._asdict().items():
            store = self.get_buffer(name)
            store.index_copy_(0, place, value.to(store.dtype))
        self.written.add_(order[-1])

    def size(self) -> Tensor:
        """Stored transitions, 0-dim int64."""
        return self.written.clamp_max(self.capacity)

    @torch.no_grad()
    def places(self, draws: Tensor, recent: int, window: int) -> Tensor:
        """Which places to sample, int64 [N], for uniform draws [N] in [0, 1).

        The first `recent` draws choose among the newest `window` transitions, the others among all. While the ring is
        empty all are place 0; the caller weighs such samples with nothing.
        """
        size = self.size()
        narrow = size.clamp_max(window)
        is_recent = torch.arange(draws.shape[0], device=draws.device) < recent
        span = torch.where(is_recent, narrow, size)
        # In whole numbers, exactly: some devices have no float64, and a float32 product may round up to `span`.
        back = torch.minimum(((draws * _ONE).long() * span) >> _BITS, (span - 1).clamp_min(0))
        return (self.written - 1 - back).clamp_min(0) % self.capacity

    @torch.no_grad()
    def at(self, place: Tensor) -> Transition:
        """The transitions at `place` int64 [N], states as float32."""
        rows = {name: self.get_buffer(name)[place] for name in Transition._fields}
        rows["state"], rows["next_state"] = rows["state"].float(), rows["next_state"].float()
        return Transition(**rows)
