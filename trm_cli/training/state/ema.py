"""Exponential moving average of the trunk parameters: the weights that are evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from trm_cli.models.network import Network
from trm_cli.training.distributed.tensor_shards import local_tensors
from trm_cli.training.hardware.conditional_update import conditional_update


class EMA:
    """`shadow <- rate * shadow + (1 - rate) * parameter` after each update, uncorrected, from the initial weights, or
    from those of the update before which it begins (`ema_start_ratio`): until then it is the weights themselves.

    Covers the trunk parameters alone: neither the puzzle table nor buffers are averaged.
    """

    def __init__(self, model: Network, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"The rate of the average must lie in [0, 1), not {rate}.")
        self.rate = rate
        trunk = {id(parameter) for parameter in model.trunk_parameters()}
        self._parameters = {name: value for name, value in model.named_parameters() if id(value) in trunk}
        self._shadow = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def update(self, where: Tensor | None = None, *, begun: bool = True) -> None:
        """Update the average with the present weights: once per optimizer step. where: 0-dim bool; false: it
        stays. begun: false where it is still to be the weights.
        """
        shadow, present = local_tensors(self._shadow.values()), local_tensors(self._parameters.values())
        with conditional_update(where, shadow):
            torch._foreach_lerp_(shadow, present, 1 - self.rate if begun else 1.0)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Within the block the model has the averaged weights; the raw ones are restored even after an error.

        The parameters stay the same tensors (optimizers and compiled code hold on to them); their values are exchanged
        with a copy of the raw ones, so the block may change nothing that is kept.
        """
        parameters, shadow = local_tensors(self._parameters.values()), local_tensors(self._shadow.values())
        with torch.no_grad():
            raw = [parameter.clone() for parameter in parameters]
        try:
            with torch.no_grad():
                torch._foreach_copy_(parameters, shadow)
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(parameters, raw)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights under the parameter names of the model."""
        return dict(self._shadow)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load averaged weights. Raises ValueError, which names missing and unknown parameters."""
        if state.keys() != self._shadow.keys():
            missing, unknown = sorted(self._shadow.keys() - state.keys()), sorted(state.keys() - self._shadow.keys())
            raise ValueError(f"The averaged weights do not fit the model: missing {missing}, unknown {unknown}.")
        for name, value in state.items():
            if value.shape != self._shadow[name].shape:
                raise ValueError(
                    f"The averaged weight {name} has the shape {tuple(value.shape)}, "
                    f"the model {tuple(self._shadow[name].shape)}."
                )
            self._shadow[name].copy_(value)
